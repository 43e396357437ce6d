package anyframetest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/http"
	"time"
)

// WithTLS makes the server serve HTTPS, and HTTP/2 to clients that offer it.
// Without an argument, the server gets a certificate from [NewCertificate].
// [Server.Client] trusts the certificate and [Server.Certificate] returns it.
// WithTLS panics if cert is incomplete.
//
// HTTP/2 carries many requests on one connection. A fault that resets the
// connection of a request resets only its HTTP/2 stream there;
// [Server.CutConnections] resets the connections themselves.
func WithTLS(cert ...tls.Certificate) Option {
	if len(cert) > 0 {
		if _, err := leafOf(cert[0]); err != nil {
			panic("anyframetest: WithTLS: " + err.Error())
		}
	}
	return func(o *settings) {
		if len(cert) == 0 {
			made, err := NewCertificate()
			if err != nil {
				panic("anyframetest: WithTLS: " + err.Error()) // the system has no randomness
			}
			cert = []tls.Certificate{made}
		}
		o.cert = &cert[0]
	}
}

// Certificate returns the certificate that the server presents, or nil without
// [WithTLS].
func (s *Server) Certificate() *x509.Certificate {
	if s.cert == nil {
		return nil
	}
	leaf, err := leafOf(*s.cert)
	if err != nil {
		panic("anyframetest: " + err.Error()) // WithTLS has parsed it
	}
	return leaf
}

// Client returns a new client that trusts the server's certificate and offers
// HTTP/2. Without [WithTLS] it uses plain HTTP. The caller closes its idle
// connections.
func (s *Server) Client() *http.Client {
	transport := &http.Transport{ForceAttemptHTTP2: true}
	if cert := s.Certificate(); cert != nil {
		roots := x509.NewCertPool()
		roots.AddCert(cert)
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport}
}

// serve accepts connections until Close or Down.
func (s *settings) serve(srv *http.Server, ln net.Listener) {
	if s.cert == nil {
		_ = srv.Serve(ln)
		return
	}
	srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*s.cert}, MinVersion: tls.VersionTLS12}
	_ = srv.ServeTLS(ln, "", "")
}

func leafOf(cert tls.Certificate) (*x509.Certificate, error) {
	if cert.Leaf != nil {
		return cert.Leaf, nil
	}
	if len(cert.Certificate) == 0 || cert.PrivateKey == nil {
		return nil, errors.New("the certificate is incomplete")
	}
	return x509.ParseCertificate(cert.Certificate[0])
}

// NewCertificate generates a self-signed certificate for loopback addresses, valid
// for a day. If servers share one with [WithTLS], their clients need only one root.
func NewCertificate() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "anyframetest"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},

		BasicConstraintsValid: true,
		IsCA:                  true, // so that it can be in a pool of roots
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, err := x509.ParseCertificate(der)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, err
}
