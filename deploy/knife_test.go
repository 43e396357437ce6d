package deploy_test

import (
	"bytes"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"regexp"
	"slices"
	"sync"
	"testing"
)

// knife cuts each client's streams a number of times, in the middle of the relay's data, at
// byte positions derived from the seed.
type knife struct {
	seed uint64
	most int // cuts per client

	mu     sync.Mutex
	random map[string]*rand.Rand
	did    map[string]int
	half   map[string][]string // by client: ids whose line was the last complete one
}

func newKnife(seed uint64, most int) *knife {
	return &knife{seed: seed, most: most, random: map[string]*rand.Rand{}, did: map[string]int{}, half: map[string][]string{}}
}

// next returns after how many bytes the client's new stream is cut; 0 means never.
func (k *knife) next(client string) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.did[client] == k.most {
		return 0
	}
	k.did[client]++
	if k.random[client] == nil {
		h := fnv.New64a()
		_, _ = h.Write([]byte(client))
		k.random[client] = rand.New(rand.NewPCG(k.seed, h.Sum64()))
	}
	return 1 + k.random[client].IntN(4000)
}

var lastID = regexp.MustCompile(`(?:^|\n)id: (\d+-\d+)\n$`)

// cut records what a client received last.
func (k *knife) cut(client string, came []byte) {
	if m := lastID.FindSubmatch(came); m != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.half[client] = append(k.half[client], string(m[1]))
	}
}

func (k *knife) halved(client, id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Contains(k.half[client], id)
}

func (k *knife) cuts() (n int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, did := range k.did {
		n += did
	}
	return n
}

// line is a connection to a relay that the knife cuts. Its address stays the same when the
// relay's changes.
type line struct {
	knife *knife
	l     net.Listener
	mu    sync.Mutex
	to    string
}

func (k *knife) line(t *testing.T, to string) *line {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	x := &line{knife: k, l: l, to: to}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { x.serve(conn) })
		}
	})
	t.Cleanup(func() { _ = l.Close() })
	return x
}

func (x *line) addr() string { return x.l.Addr().String() }

func (x *line) leadTo(to string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.to = to
}

var streamOf = regexp.MustCompile(`[?&]client=([a-z.-]+)`)

func (x *line) serve(browser net.Conn) {
	defer browser.Close()
	x.mu.Lock()
	to := x.to
	x.mu.Unlock()
	relay, err := new(net.Dialer).Dial("tcp", to)
	if err != nil {
		return
	}
	defer relay.Close()
	begun := make(chan string, 1) // a client's request, sent before its response can arrive
	go func() {                   // ends with either connection
		defer relay.Close()
		for b := make([]byte, 32<<10); ; {
			n, err := browser.Read(b)
			if m := streamOf.FindSubmatch(b[:n]); m != nil {
				begun <- string(m[1])
			}
			if _, failed := relay.Write(b[:n]); err != nil || failed != nil {
				return
			}
		}
	}()
	var client string
	var head, came []byte // the response's headers while they are incomplete; the end of its body so far
	left := 0             // remaining bytes of its body until the cut
	for b := make([]byte, 32<<10); ; {
		n, err := relay.Read(b)
		select {
		case client = <-begun:
			left, head, came = x.knife.next(client), []byte{}, nil
		default:
		}
		part := b[:n]
		if head != nil && left > 0 { // a proxy correctly answers 502 if a response has no headers
			head = append(head, part...)
			at := bytes.Index(head, []byte("\r\n\r\n"))
			if at < 0 {
				left += n
			} else {
				left += n - len(head) + at + 4
				head = nil
			}
		}
		cut := left > 0 && left <= n
		if cut {
			part = part[:left]
		}
		left -= n
		came = append(came, part...)
		came = came[max(0, len(came)-64):]
		if cut {
			x.knife.cut(client, came)
		}
		if _, failed := browser.Write(part); cut || err != nil || failed != nil {
			return
		}
	}
}
