//go:debug x509usefallbackroots=1

package relay_test

import (
	"crypto/tls"
	"crypto/x509"
	"slices"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

// certificate is what every control plane with TLS shows. TestMain makes it the
// only root that this process trusts: the relay has no setting for another.
var certificate tls.Certificate

func trustCertificate() error {
	var err error
	if certificate, err = anyframetest.NewCertificate(); err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(certificate.Leaf)
	x509.SetFallbackRoots(roots) // used on every system, by the directive above
	return nil
}

// transport is a way to reach AnyFrame.
type transport []anyframetest.Option

var overHTTP1 transport // for tests to which it is all the same

// overTransports runs a test over plain HTTP/1.1 and over TLS with HTTP/2, in
// parallel with each other and with other tests. The second is what AnyFrame offers: there the calls and streams of all visitors
// share connections.
func overTransports(t *testing.T, test func(*testing.T, transport)) {
	t.Helper()
	t.Parallel()
	for name, via := range map[string]transport{
		"HTTP1": overHTTP1,
		"HTTP2": {anyframetest.WithTLS(certificate)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, via)
		})
	}
}

// start starts a control plane that is reached this way.
func (via transport) start(t *testing.T, opts ...anyframetest.Option) *anyframetest.Server {
	t.Helper()
	return anyframetest.Start(t, slices.Concat(opts, via)...)
}

// newHarness is [newHarness] with a control plane that is reached this way.
func (via transport) newHarness(t *testing.T, change func(*relay.Config), opts ...anyframetest.Option) *harness {
	t.Helper()
	return harnessFor(t, via.start(t, opts...), change)
}

// A test over HTTP/2 shows nothing if the relay does not speak it.
func TestTransports_HTTP2_IsSpoken(t *testing.T) {
	overTransports(t, func(t *testing.T, via transport) {
		r := via.newHarness(t, nil, anyframetest.WithAgent(1, speak))
		v := r.visitor()
		x := v.open("")
		v.say("hello", "k1")
		x.turnEnds(1)
		want := "HTTP/1.1"
		if len(via) > 0 {
			want = "HTTP/2.0"
		}
		for _, req := range r.plane.Requests() {
			if req.Proto != want {
				t.Errorf("%s %s: got %s, want %s", req.Method, req.Path, req.Proto, want)
			}
		}
	})
}
