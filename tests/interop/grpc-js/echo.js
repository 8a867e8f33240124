// The echo service of the interop tests, without generated code: bytes in, "<name> <bytes>" out.
'use strict';
const grpc = require('@grpc/grpc-js');

const identity = (bytes) => bytes;
const method = {
  path: '/mesh.test.Echo/Say',
  requestStream: false,
  responseStream: false,
  requestSerialize: identity,
  requestDeserialize: identity,
  responseSerialize: identity,
  responseDeserialize: identity,
};

const definition = { Say: method };
const Client = grpc.makeClientConstructor(definition, 'Echo');

function serve(name, address, ready) {
  const server = new grpc.Server();
  server.addService(definition, {
    Say: (call, callback) => callback(null, Buffer.from(`${name} ${call.request}`)),
  });
  server.bindAsync(address, grpc.ServerCredentials.createInsecure(), (error, port) => {
    if (error) throw error;
    ready(port);
  });
  return server;
}

module.exports = { Client, serve };
