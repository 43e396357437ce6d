//go:debug x509usefallbackroots=1

package relay_test

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// certificate is the certificate of every control plane with TLS. TestMain makes it the
// only root that this process trusts, because the relay has no setting for another.
var certificate tls.Certificate

func trustCertificate() error {
	var err error
	if certificate, err = anyframetest.NewCertificate(); err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate.Leaf)
	x509.SetFallbackRoots(roots) // used on every system, because of the directive above
	return nil
}

// transport is a way to reach AnyFrame.
type transport []anyframetest.Option

var overHTTP1 transport // for tests that do not depend on it

// overHTTP2 is what AnyFrame offers. Its event streams use the relay's own reader.
func overHTTP2() transport { return transport{anyframetest.WithTLS(certificate)} }

// overTransports runs a test over plain HTTP/1.1 and over TLS with HTTP/2, in parallel
// with each other and with other tests. The second is what AnyFrame offers: there the
// calls and streams of all visitors share connections.
func overTransports(t *testing.T, test func(*testing.T, transport)) {
	t.Helper()
	t.Parallel()
	for name, via := range map[string]transport{
		"HTTP1": overHTTP1,
		"HTTP2": overHTTP2(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, via)
		})
	}
}

// start starts a control plane that is reached over this transport.
func (via transport) start(t *testing.T, opts ...anyframetest.Option) *anyframetest.Server {
	t.Helper()
	return startPlane(t, slices.Concat(opts, via)...)
}

// newHarness is [newHarness] with a control plane that is reached over this transport.
func (via transport) newHarness(t *testing.T, change func(*relay.Config), opts ...anyframetest.Option) *harness {
	t.Helper()
	return harnessFor(t, via.start(t, opts...), change)
}

// A test over HTTP/2 proves nothing if the relay does not use it.
func TestTransports_HTTP2_IsSpoken(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		r := via.newHarness(t, nil, anyframetest.WithAgent(1, speak))
		v := r.visitor()
		x := v.open("")
		v.say("hello", "k1")
		x.turnEnds(1)
		want, connections := "HTTP/1.1", 0.0
		if len(via) > 0 {
			want, connections = "HTTP/2.0", 1
		}
		if got := r.metric("relay_upstream_connections"); got != connections {
			t.Errorf("got %v connections of the reader's, want %v", got, connections)
		}
		for _, req := range r.plane.Requests() {
			if req.Proto != want {
				t.Errorf("%s %s: got %s, want %s", req.Method, req.Path, req.Proto, want)
			}
		}
	})
}

// All sessions share a connection, whose reader appends their events to their logs. A
// session whose event must be stored first must not delay the others.
func TestTransports_StoreSlowForOneSession_OthersOnTheConnectionGoOn(t *testing.T) {
	t.Parallel()
	gate := make(chan struct{})
	r, slow := withStalling(t, slices.Concat(overHTTP2(), []anyframetest.Option{anyframetest.WithAgent(1, func(c *anyframetest.Chat) {
		if c.Prompt() != "ask" {
			c.Say("Hello.")
			return
		}
		c.Say("Well.")
		<-gate
		c.Say("You chose " + c.Ask("Which?", "red", "green") + ".")
	})})...)
	asks, other := r.visitor(), r.visitor()
	x, y := asks.open(""), other.open("")
	other.say("hello", "k1")
	y.turnEnds(1)
	asks.say("ask", "k1")
	x.turnBegins("Well.")
	entered, release := slow.stall(t, "BeginNote prompt") // a question is stored before it is shown
	close(gate)
	select {
	case <-entered:
	case <-time.After(patience):
		t.Fatal("BeginNote was not called for the question")
	}
	if got := r.metric("relay_upstream_connections"); got != 1 {
		t.Fatalf("got %v connections, want both streams on one", got)
	}
	other.say("hello again", "k2")
	y.turnEnds(2) // with the call still hanging
	release()
	x.prompt("question")
}
