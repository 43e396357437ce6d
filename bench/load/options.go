package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"time"
)

// proto is the protocol between the control plane and the peers.
type proto string

const (
	protoH2    proto = "h2"    // TLS, with HTTP/2 if the peer supports it
	protoH1    proto = "h1"    // TLS, HTTP/1.1
	protoPlain proto = "plain" // HTTP/1.1 without TLS
)

// base is the control plane's URL.
func (p proto) base(addr string) *url.URL {
	if p == protoPlain {
		return &url.URL{Scheme: "http", Host: addr}
	}
	return &url.URL{Scheme: "https", Host: addr}
}

// shape is the configuration of one run.
type shape struct {
	proto   proto
	streams uint32 // maximum concurrent streams of one HTTP/2 connection
	bytes   int    // of text in each event
	cores   int    // available to the peer
	gogc    int    // GOGC of a peer that is a Go program; 0: Go's default
}

// options are the command line options.
type options struct {
	shape
	full        bool
	write       bool
	reps        int // 0 means the scenario's value
	visitors    int // likewise
	connections int // HTTP/2 connections that the visitors are spread over; 0: as streams requires
}

func (o *options) flags() *flag.FlagSet {
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprintln(f.Output(), usage)
		f.PrintDefaults()
	}
	f.StringVar((*string)(&o.proto), "proto", string(protoH2), "what the control plane speaks: h2 (TLS and HTTP/2), h1 (TLS and HTTP/1.1) or plain")
	f.Func("streams", "how many streams the control plane takes on a connection of HTTP/2 (default 250)", func(s string) error {
		n, err := strconv.ParseUint(s, 10, 31)
		o.streams = uint32(n)
		return err
	})
	f.IntVar(&o.gogc, "gogc", 0, "GOGC of the relay and of peers that are Go programs, instead of Go's default")
	f.IntVar(&o.connections, "connections", 0, "spread the visitors over so many connections of HTTP/2, instead of -streams on each")
	f.IntVar(&o.reps, "reps", 0, "measure everything so many times, instead of as often as the scenario has it")
	f.IntVar(&o.visitors, "visitors", 0, "as many visitors in every scenario, instead of its own number")
	f.IntVar(&o.bytes, "bytes", 80, "bytes of text in each event")
	f.IntVar(&o.cores, "cores", runtime.NumCPU(), "cores that the relay and its peers may use")
	f.BoolVar(&o.write, "write", false, "write the tables into "+document+"; takes full, with nothing left out and no other flag")
	o.streams = 250
	return f
}

func (o *options) check() error {
	switch {
	case o.proto != protoH2 && o.proto != protoH1 && o.proto != protoPlain:
		return fmt.Errorf("-proto is h2, h1 or plain, not %q", o.proto)
	case o.streams == 0 || o.bytes < 0 || o.cores < 1 || o.visitors < 0 || o.reps < 0 || o.connections < 0 || o.gogc < 0:
		return fmt.Errorf("-streams, -cores: at least 1; -bytes, -reps, -visitors, -connections, -gogc: at least 0")
	}
	return nil
}

// usual reports whether the options are those of the document's tables.
func (o *options) usual() bool {
	var preset options
	preset.flags()
	return o.shape == preset.shape && o.reps == 0 && o.visitors == 0 && o.connections == 0
}

// args are the flags for a part that this program runs as.
func (sh shape) args(part ...string) []string {
	return append([]string{"-proto", string(sh.proto), "-streams", fmt.Sprint(sh.streams), "-bytes", fmt.Sprint(sh.bytes)}, part...)
}

// String returns the shape as shown in the tables.
func (sh shape) String() string {
	switch sh.proto {
	case protoH2:
		return fmt.Sprintf("TLS and HTTP/2, %d streams a connection", sh.streams)
	case protoH1:
		return "TLS and HTTP/1.1"
	default:
		return "HTTP/1.1 without TLS"
	}
}

const (
	certFile = "cert.pem"
	keyFile  = "key.pem"
)

// certify creates a self-signed certificate for loopback in a folder.
func certify(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			return err
		}
	}
	return nil
}
