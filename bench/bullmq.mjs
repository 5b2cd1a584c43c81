// BullMQ draining no-op jobs, measured as `examples/load` measures us: from the first start to the
// last. `bin/bench` runs it where `npm install --prefix tmp bullmq ioredis` has been run.
//   node bullmq.mjs JOBS CONCURRENCY BYTES
import { createRequire } from "node:module";

const require = createRequire(`${process.cwd()}/tmp/`);
const { Queue, Worker } = require("bullmq");
const [jobs, concurrency, size] = process.argv.slice(2).map(Number);
const address = new URL(process.env.REDIS_URL);
const connection = { host: address.hostname, port: Number(address.port), maxRetriesPerRequest: null };

const queue = new Queue("bench", { connection });
const padding = "x".repeat(Math.max(size - 150, 0));
for (let pushed = 0; pushed < jobs; pushed += 1_000) {
  const many = Math.min(1_000, jobs - pushed);
  await queue.addBulk(Array.from({ length: many }, () => ({ name: "noop", data: { padding } })));
}

let started = 0;
let first = 0;
await new Promise((done) => {
  const noop = async () => {
    first ||= performance.now();
    started += 1;
    if (started === jobs) done();
  };
  new Worker("bench", noop, { connection, concurrency, removeOnComplete: { count: 0 } });
});
const seconds = (performance.now() - first) / 1_000;
console.log(JSON.stringify({ jobs, jobs_per_s: jobs / seconds }));
process.exit(0);
