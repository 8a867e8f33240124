// node client.js TARGET: an xDS client (bootstrap in GRPC_XDS_BOOTSTRAP). Each line "N" on its input makes N calls, one after the other;
// each answer is one JSON line {"by": {name: count}, "errors": [text]}.
'use strict';
const readline = require('readline');
const grpc = require('@grpc/grpc-js');
require('@grpc/grpc-js-xds').register();
const { Client } = require('./echo');

const client = new Client(process.argv[2], grpc.credentials.createInsecure());

function call() {
  return new Promise((resolve) => {
    client.Say(Buffer.from('hi'), { deadline: Date.now() + 10000 }, (error, bytes) =>
      resolve(error ? { error: `${error.code} ${error.details}` } : { name: String(bytes).split(' ')[0] }));
  });
}

async function many(count) {
  const answer = { by: {}, errors: [] };
  for (let i = 0; i < count; i++) {
    const result = await call();
    if (result.error) answer.errors.push(result.error);
    else answer.by[result.name] = (answer.by[result.name] || 0) + 1;
  }
  return answer;
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await many(Number(line))));
  }
  process.exit(0);
})();
