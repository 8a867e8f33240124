// node server.js NAME: a gRPC echo server on a free port; prints the port.
'use strict';
require('./echo').serve(process.argv[2], '127.0.0.1:0', (port) => console.log(JSON.stringify({ port })));
