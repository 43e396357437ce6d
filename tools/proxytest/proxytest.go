// Package proxytest runs the shipped proxy configurations, deploy/nginx.conf and
// deploy/Caddyfile, with the real nginx and Caddy on loopback, for tests and chaos
// runs.
package proxytest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/anyframe-relay/relay/deploy"
	"github.com/anyframe-relay/relay/tools/ports"
)

// The hosts in the configurations.
const (
	ownHost  = "chat.example.com"
	siteHost = "www.example.com"
)

// Front describes what is behind a proxy.
type Front struct {
	// Dir is an empty folder for the proxy's files, used by no other.
	Dir string
	// Relays are the addresses of the relays, host:port.
	Relays []string
	// BasePath is the relays' base path: /chat serves them as part of a site, and
	// empty on their own host. nginx.conf supports no other value.
	BasePath string
}

// Proxy is a running proxy.
type Proxy struct {
	// URL is the relay's address for browsers: https, without a slash at the end.
	URL string
	// Plain is the same host over http, which redirects.
	Plain string

	secure, plain string // addresses where it listens
	roots         *x509.CertPool
	cmd           *exec.Cmd
	done          chan struct{}
	mu            sync.Mutex
	out           bytes.Buffer
}

// StartNginx runs nginx with nginx.conf until ctx ends or the proxy is closed. The
// error matches [exec.ErrNotFound] if nginx is not installed.
func StartNginx(ctx context.Context, f Front) (*Proxy, error) {
	return f.start(ctx, f.nginx)
}

// StartCaddy is like [StartNginx], for Caddy and Caddyfile.
func StartCaddy(ctx context.Context, f Front) (*Proxy, error) {
	return f.start(ctx, f.caddy)
}

// start retries with other addresses while one is in use.
func (f Front) start(ctx context.Context, prepare func(context.Context, *Proxy) error) (p *Proxy, err error) {
	host := ownHost
	if f.BasePath != "" {
		host = siteHost
	}
	err = ports.Try(ctx, func(secure string) error {
		plain, err := ports.Free(ctx)
		if err != nil {
			return err
		}
		p = &Proxy{
			URL:   "https://" + net.JoinHostPort(host, port(secure)) + f.BasePath,
			Plain: "http://" + net.JoinHostPort(host, port(plain)) + f.BasePath, secure: secure, plain: plain,
			roots: x509.NewCertPool(), done: make(chan struct{}),
		}
		if err = prepare(ctx, p); err != nil {
			return err
		}
		return p.run(ctx, f.Roots)
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

func port(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}

// nginx writes nginx.conf with this machine's addresses and paths instead of the
// example's: the file has no variables for them.
func (f Front) nginx(ctx context.Context, p *Proxy) error {
	certificate, key := filepath.Join(f.Dir, "front.pem"), filepath.Join(f.Dir, "front.key")
	if err := selfSigned(certificate, key); err != nil {
		return err
	}
	var relays, streams strings.Builder
	for _, addr := range f.Relays {
		fmt.Fprintf(&relays, "        server %s;\n", addr)
		fmt.Fprintf(&streams, "        server %s max_fails=0;\n", addr)
	}
	var temp strings.Builder
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		fmt.Fprintf(&temp, "%s_temp_path %s;\n", kind, filepath.Join(f.Dir, kind))
	}
	conf := deploy.NginxConf
	for _, change := range []struct {
		times    int
		old, new string
	}{
		{1, "        server 127.0.0.1:8081;\n        server 127.0.0.1:8082;\n", relays.String()},
		{1, "        server 127.0.0.1:8081 max_fails=0;\n        server 127.0.0.1:8082 max_fails=0;\n", streams.String()},
		{1, "listen 80;", "listen " + p.plain + ";"},
		{2, "listen 443 ", "listen " + p.secure + " "},
		{1, "https://$host$request_uri", "https://$host:" + port(p.secure) + "$request_uri"},
		{1, "/etc/ssl/certs/" + ownHost + ".pem", certificate},
		{1, "/etc/ssl/certs/" + siteHost + ".pem", certificate},
		{1, "/etc/ssl/private/" + ownHost + ".key", key},
		{1, "/etc/ssl/private/" + siteHost + ".key", key},
		{1, "root /var/www/html;", "root " + f.site() + ";"},
		{1, "\nhttp {\n", "\nhttp {\naccess_log off;\n" + temp.String()},
	} {
		if got := strings.Count(conf, change.old); got != change.times {
			return fmt.Errorf("nginx.conf: got %q %d times, want %d", change.old, got, change.times)
		}
		conf = strings.ReplaceAll(conf, change.old, change.new)
	}
	path := filepath.Join(f.Dir, "nginx.conf")
	if err := errors.Join(os.WriteFile(path, []byte(conf), 0o600), f.makeSite()); err != nil {
		return err
	}
	process := "daemon off; pid " + filepath.Join(f.Dir, "nginx.pid") + ";"
	if os.Geteuid() == 0 {
		process += " user root;" // other users may have no access to Dir
	}
	p.cmd = exec.CommandContext(ctx, "nginx", "-e", "stderr", "-p", f.Dir, "-c", path, "-g", process) //nolint:gosec // the caller's own folder
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }                      // its workers outlive a master that is killed
	return nil
}

// caddy leaves Caddyfile unchanged and sets its variables.
func (f Front) caddy(ctx context.Context, p *Proxy) error {
	path := filepath.Join(f.Dir, "Caddyfile")
	if err := errors.Join(os.WriteFile(path, deploy.Caddyfile, 0o600), f.makeSite()); err != nil {
		return err
	}
	host, _, _ := strings.Cut(strings.TrimPrefix(p.URL, "https://"), ":")
	options := []string{
		"local_certs", "skip_install_trust", "admin off", "default_bind 127.0.0.1",
		"https_port " + port(p.secure), "http_port " + port(p.plain),
	}
	p.cmd = exec.CommandContext(ctx, "caddy", "run", "--config", path, "--adapter", "caddyfile")
	p.cmd.Env = append(os.Environ(), "RELAY_HOST="+host, "RELAY_UPSTREAMS="+strings.Join(f.Relays, " "), "RELAY_BASE_PATH="+f.BasePath,
		"SITE_ROOT="+f.site(), "CADDY_OPTIONS="+strings.Join(options, "\n\t"), "HOME="+f.Dir, "XDG_DATA_HOME="+f.Dir, "XDG_CONFIG_HOME="+f.Dir)
	return nil
}

// site is the folder of the site that has the relay at a path.
func (f Front) site() string { return filepath.Join(f.Dir, "site") }

func (f Front) makeSite() error {
	if err := os.MkdirAll(f.site(), 0o755); err != nil { //nolint:gosec // nginx reads it as another user
		return err
	}
	return os.WriteFile(filepath.Join(f.site(), "index.html"), []byte("the site\n"), 0o644) //nolint:gosec // so it does this
}

// Roots returns the certificates, as PEM, that sign the certificate of this
// folder's proxy. Until they exist, the error matches [fs.ErrNotExist].
func (f Front) Roots() ([]byte, error) {
	for _, name := range []string{"front.pem", "caddy/pki/authorities/local/root.crt"} {
		b, err := os.ReadFile(filepath.Join(f.Dir, filepath.FromSlash(name)))
		if !errors.Is(err, fs.ErrNotExist) {
			return b, err
		}
	}
	return nil, fs.ErrNotExist
}

// selfSigned writes a self-signed certificate for the hosts, and its key.
func selfSigned(certificate, key string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: ownHost}, DNSNames: []string{ownHost, siteHost},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600),
	)
}

// startLimit is how long a proxy may take until it responds.
const startLimit = time.Minute

// run starts the proxy and waits until it responds.
func (p *Proxy) run(ctx context.Context, roots func() ([]byte, error)) error {
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.WaitDelay = 10 * time.Second
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() { // ends with the process, which Close ends
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	var last error
	for {
		select {
		case <-p.done:
			return fmt.Errorf("the proxy ended:\n%s", p.Output())
		case <-limit.C:
			_ = p.Close()
			return fmt.Errorf("the proxy does not answer: %w\n%s", last, p.Output())
		case <-again.C:
		}
		var pem []byte
		if pem, last = roots(); last != nil {
			continue
		}
		p.roots.AppendCertsFromPEM(pem)
		if last = p.handshake(ctx); last == nil {
			return nil
		}
	}
}

func (p *Proxy) handshake(ctx context.Context) error {
	conn, err := (&tls.Dialer{Config: p.tls()}).DialContext(ctx, "tcp", p.secure)
	if err != nil {
		return err
	}
	return conn.Close()
}

func (p *Proxy) tls() *tls.Config {
	host, _, _ := strings.Cut(strings.TrimPrefix(p.URL, "https://"), ":")
	return &tls.Config{RootCAs: p.roots, ServerName: host, MinVersion: tls.VersionTLS12}
}

// Transport connects to the proxy like a browser at this loopback address: for any
// name, over HTTP/2, trusting its certificate. It resolves no names but the
// proxy's. The caller closes its idle connections.
func (p *Proxy) Transport(from string) *http.Transport {
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	return &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			for _, at := range []string{p.secure, p.plain} {
				if port(addr) == port(at) {
					return dialer.DialContext(ctx, "tcp", at)
				}
			}
			return nil, errors.New(strconv.Quote(addr) + " is not the proxy")
		},
		TLSClientConfig: p.tls(), ForceAttemptHTTP2: true,
	}
}

// Write receives the proxy's output.
func (p *Proxy) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

// Output returns the proxy's output so far.
func (p *Proxy) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// Close stops the proxy and closes every connection through it.
func (p *Proxy) Close() error {
	select {
	case <-p.done:
		return nil
	default:
	}
	if err := p.cmd.Cancel(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
	case <-time.After(p.cmd.WaitDelay):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
	return nil
}
