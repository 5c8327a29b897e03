// node cluster: two workers that tell their ids; the primary hands connections out (rr) or the workers accept (none).
// cluster.js PORT rr|none
const cluster = require('cluster'), http = require('http');
const port = Number(process.argv[2]);
cluster.schedulingPolicy = process.argv[3] === 'rr' ? cluster.SCHED_RR : cluster.SCHED_NONE;

if (cluster.isPrimary) {
  let listening = 0;
  cluster.on('listening', () => { if (++listening === 2) console.log('serving'); });
  cluster.fork();
  cluster.fork();
  process.on('SIGTERM', () => cluster.disconnect(() => process.exit(0)));
} else {
  http.createServer((request, response) => {
    response.setHeader('Connection', 'close');
    response.end(`worker ${cluster.worker.id}\n`);
  }).listen(port);
}
