// Package origin parses what browsers send about the source and the target of a request:
// origins, patterns of origins, hosts, and base paths. It must not depend on HTTP
// requests: package httpapi decides which of these count.
package origin

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// appOrigin matches the origin of a page that an app shell or a browser extension serves
// under its own scheme, such as capacitor://localhost or chrome-extension://<id>.
// Browsers do not change the case of such a host.
var appOrigin = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://[A-Za-z0-9][A-Za-z0-9._-]*$`)

// webSchemes are excluded: their pages have an origin of another form, or null.
var webSchemes = []string{"http", "https", "ws", "wss", "ftp", "file", "data", "blob", "about", "javascript", "filesystem"}

// ValidPattern accepts https://www.example.com, https://*.example.com,
// the same with a port, with http, the origins of app shells, and *.
func ValidPattern(p string) bool {
	if p == "*" {
		return true
	}
	if scheme, _, _ := strings.Cut(p, "://"); appOrigin.MatchString(p) && !slices.Contains(webSchemes, scheme) {
		return true
	}
	o := strings.Replace(p, "://*.", "://wildcard.", 1)
	return o != "" && o == OfURL(o) && !strings.Contains(o, "*")
}

// Allowed reports whether a list of patterns contains the origin, exactly or as a
// subdomain.
func Allowed(patterns []string, from string) bool {
	for _, p := range patterns {
		scheme, domain, wild := strings.Cut(p, "://*.")
		switch {
		case wild:
			rest, ok := strings.CutPrefix(from, scheme+"://")
			if sub, found := strings.CutSuffix(rest, "."+domain); ok && found && validSubdomain(sub) {
				return true
			}
		case p == from, p == "*" && strings.Contains(from, "://"): // "null" is not an origin
			return true
		}
	}
	return false
}

func validSubdomain(s string) bool {
	if s == "" || strings.HasPrefix(s, ".") || strings.HasSuffix(s, ".") {
		return false
	}
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '.' {
			return false
		}
	}
	return true
}

// Same reports whether an origin belongs to this host. The scheme is compared only if it
// is known, because a proxy that terminates TLS uses plain HTTP to us.
func Same(o, scheme, host string) bool {
	known, rest, _ := strings.Cut(o, "://")
	return rest != "" && strings.EqualFold(rest, host) && (known == scheme || scheme == "")
}

// OfURL returns the origin of a URL as a browser writes it, or "" if it has none.
func OfURL(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || !hostPattern.MatchString(u.Host) {
		return ""
	}
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	default:
		return ""
	}
	return u.Scheme + "://" + host
}

// hostPattern matches a host as browsers write it: non-ASCII names are encoded.
var hostPattern = regexp.MustCompile(`^([A-Za-z0-9._-]*[A-Za-z0-9]|\[[0-9A-Fa-f:.]+\])(:[0-9]+)?$`)

// HostName returns the name or address in a Host header, without port and brackets.
func HostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.Trim(host, "[]")
}

// IsAddress reports whether a Host header contains an IP address.
func IsAddress(host string) bool {
	_, err := netip.ParseAddr(HostName(host))
	return err == nil
}

// ValidBasePath reports whether a path is written the same way in a URL, a route and the
// path of a cookie. A semicolon would end the cookie's path, so that the cookie would never
// come back. Browsers escape other characters in URLs.
func ValidBasePath(path string) bool { return basePath.MatchString(path) }

var basePath = regexp.MustCompile(`^(/[\w~!$&'()+,=:@-][\w.~!$&'()+,=:@-]*)+$`)
