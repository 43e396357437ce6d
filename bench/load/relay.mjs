// The relay that people write on Node: a stream upstream for every tab.
import http from 'node:http'

const [listen, upstream] = process.argv.slice(2)
const at = (addr) => ({ host: addr.split(':')[0], port: Number(addr.split(':')[1]) })
const agent = new http.Agent({ keepAlive: true })

const server = http.createServer((req, res) => {
  const headers = { authorization: 'Bearer afm_bench', accept: 'text/event-stream' }
  if (req.headers['last-event-id']) headers['last-event-id'] = req.headers['last-event-id']
  const up = http.request({ ...at(upstream), path: req.url, headers, agent }, (answer) => {
    res.writeHead(answer.statusCode, { 'content-type': answer.headers['content-type'], 'cache-control': 'no-store' })
    answer.pipe(res)
  })
  up.on('error', () => res.destroy())
  res.on('close', () => up.destroy())
  up.end()
})
server.requestTimeout = 0
server.listen({ ...at(listen), backlog: 4096 })
process.on('SIGUSR2', () => globalThis.gc?.())
