// A service that knows its users by the access tokens of Latchkey:
//
//	ISSUER=http://localhost:8080 ADDR=127.0.0.1:8082 npm start
//	curl -H "Authorization: Bearer $token" http://127.0.0.1:8082/hello
import { createServer } from 'node:http';

import { Unknown, verify } from './verify.mjs';

const [, host, port] = (process.env.ADDR ?? '127.0.0.1:8082').match(/^(.*):(\d+)$/);

function send(response, status, body, headers) {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers });
  response.end(JSON.stringify(body) + '\n');
}

createServer(async (request, response) => {
  if (request.method !== 'GET' || request.url !== '/hello') return send(response, 404, { error: 'not found' });
  const [, token] = request.headers.authorization?.match(/^Bearer +(\S+)$/i) ?? [];
  try {
    const { sub, roles } = await verify(token ?? '');
    send(response, 200, { user: sub, roles });
  } catch (error) {
    if (error instanceof Unknown) { // this says nothing of the token: the client keeps it
      send(response, 503, { error: 'cannot tell who you are, try again' }, { 'retry-after': '5' });
    } else { // the client refreshes once, and repeats
      send(response, 401, { error: 'not signed in' }, { 'www-authenticate': 'Bearer' });
    }
  }
}).listen(Number(port), host, function () {
  console.log(`http://${host}:${this.address().port}/hello`);
});
