// node http: serves the files of a directory, and takes in what is put.  http_server.js PORT DIRECTORY
const http = require('http'), fs = require('fs'), path = require('path'), crypto = require('crypto');
const [port, directory] = [Number(process.argv[2]), process.argv[3]];

const server = http.createServer((request, response) => {
  if (request.method === 'PUT') {
    const sum = crypto.createHash('sha256');
    request.on('data', (block) => sum.update(block)).on('end', () => response.end(sum.digest('hex')));
    return;
  }
  const file = fs.createReadStream(path.join(directory, path.basename(request.url)));
  file.on('error', () => { response.statusCode = 404; response.end(); });
  file.pipe(response);
});
server.keepAliveTimeout = 0;  // a client on a busy machine takes its time
server.listen(port, () => console.log('serving'));
process.on('SIGTERM', () => { server.close(() => process.exit(0)); server.closeIdleConnections(); });
