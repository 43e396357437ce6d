package h2events

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"slices"
	"sync"
)

// Connections are opened one at a time for all callers that need one. If more streams
// wait than one connection carries, up to maxDialing are opened at once. Fewer than
// spread streams do not justify a second connection; for more, there should be one
// connection per core.
const (
	maxDialing = 4
	spread     = 32
	// maxBarren is after how many open connections on which the server allows no streams
	// no further one is tried.
	maxBarren = 2
)

// errNoRoom means that the server allows no streams.
var errNoRoom = errors.New("h2events: the server allows no more streams")

// pool holds the connections of one host. Retired ones are kept until they are closed, so
// that they are counted.
type pool struct {
	mu      sync.Mutex // must be taken before conn.mu
	conns   []*conn
	dials   int
	waiting int   // callers waiting for the current dial
	dial    *dial // the dial that callers wait for, or nil
	http1   bool  // the server chose HTTP/1.1 when last connected
}

// dial is a connection being opened.
type dial struct {
	done chan struct{} // closed when it is complete
	err  error         // why there is no connection
}

// add adds an open connection.
func (p *pool) add(c *conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, c)
	p.http1 = false
}

// get returns a connection with a reserved stream, or the result of a request that
// net/http made.
func (p *pool) get(ctx context.Context, o Options, open func(opened func()) (*http.Response, error)) (*conn, *http.Response, error) {
	for dials := 0; ; {
		c, d, leads, err := p.look(o)
		switch {
		case c != nil || err != nil:
			return c, nil, err
		case d == nil || leads:
			if dials++; dials > maxTries { // each one was immediately lost or full
				p.opened(ctx, d, errNoRoom)
				return nil, nil, errNoRoom
			}
			res, err := open(func() { p.end(d, nil, true) })
			if d != nil {
				p.opened(ctx, d, err)
			}
			if err != errHandedOver { //nolint:errorlint // net/http passes it on
				return nil, res, err
			}
		default:
			select {
			case <-d.done:
			case <-ctx.Done():
				p.stopWaiting()
				return nil, nil, ctx.Err()
			}
			p.stopWaiting()
			if d.err != nil {
				return nil, nil, d.err
			}
		}
	}
}

func (p *pool) stopWaiting() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting--
}

// look returns a connection with room, or else the dial to wait for. If leads is set, the
// caller must make that dial. It returns neither if the server speaks HTTP/1.1.
func (p *pool) look(o Options) (c *conn, d *dial, leads bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = slices.DeleteFunc(p.conns, (*conn).closed)
	best, fewest, taking, barren := (*conn)(nil), 0, 0, 0
	for _, c := range p.conns {
		n, room, takes := c.load()
		if takes {
			taking++
		}
		if takes && !room && n == 0 {
			barren++
		}
		if room && (best == nil || n < fewest) {
			best, fewest = c, n
		}
	}
	enough := fewest < spread || taking >= runtime.GOMAXPROCS(0) || p.dials > 0
	switch {
	case best != nil && enough && best.reserve():
		return best, nil, false, nil
	case p.http1:
		return nil, nil, false, nil
	case barren >= maxBarren:
		return nil, nil, false, errNoRoom
	case p.dial == nil || p.dials < maxDialing && p.waiting >= p.dials*o.Streams:
		p.dials++
		d = &dial{done: make(chan struct{})}
		p.dial = d
		return nil, d, true, nil
	}
	p.waiting++
	return nil, p.dial, false, nil
}

// opened ends a dial whose request ended with err. A caller that cancels its own request
// does not fail the other waiters.
func (p *pool) opened(ctx context.Context, d *dial, err error) {
	if err == errHandedOver || ctx.Err() != nil { //nolint:errorlint // net/http passes it on
		err = nil
	}
	p.end(d, err, false)
}

// end notifies the callers that wait for a dial, once.
func (p *pool) end(d *dial, err error, http1 bool) {
	if d == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-d.done:
		return
	default:
	}
	d.err = err
	p.dials--
	if p.dial == d {
		p.dial = nil
	}
	p.http1 = p.http1 || http1
	close(d.done)
}

// open returns the connections that are not closed.
func (p *pool) open() []*conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = slices.DeleteFunc(p.conns, (*conn).closed)
	return slices.Clone(p.conns)
}
