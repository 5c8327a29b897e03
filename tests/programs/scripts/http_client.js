// node http: fetches a URL so many times at once over few connections that are kept, prints the sums that differ.
// http_client.js URL COUNT SHA256
const http = require('http'), crypto = require('crypto');
const [url, count, wanted] = [process.argv[2], Number(process.argv[3]), process.argv[4]];
const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });

const fetched = Array.from({ length: count }, () => new Promise((resolve, reject) => {
  http.get(url, { agent }, (response) => {
    const sum = crypto.createHash('sha256');
    response.on('data', (block) => sum.update(block)).on('end', () => resolve(sum.digest('hex')));
  }).on('error', reject);
}));
Promise.all(fetched).then((sums) => {
  const right = sums.filter((sum) => sum === wanted).length;
  console.log(`${right} of ${count}`);
  agent.destroy();
  process.exitCode = right === count ? 0 : 1;
}, (error) => { console.error(error.message); process.exitCode = 2; });
