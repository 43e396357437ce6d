package caller

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/relay/internal/origin"
	"github.com/anyframe-relay/relay/relay/internal/visitor"
)

// Cookies, headers and origins are chosen by the visitor.

func FuzzPolicy(f *testing.F) {
	token := strings.Repeat("A", 43)
	f.Add("__Host-relay_visitor="+token, "", "", "", "relay.test")
	f.Add("", "Bearer "+token, "https://shop.example", "cross-site", "relay.test")
	f.Add("__Host-relay_visitor="+token+"; __Host-relay_visitor="+token, "", "null", "same-origin", "relay.test")
	f.Add(`__Host-relay_visitor="`+token+`"`, "bearer  "+token, "https://a.wild.example", "same-site", "RELAY.test")
	f.Add("__Host-relay_visitor=../x", "Basic x", "http://relay.test", "none", "relay.test:80")
	p := Policy{AllowedOrigins: []string{"https://shop.example", "https://*.wild.example"}, PublicOrigin: "https://chat.example"}
	f.Fuzz(func(t *testing.T, cookie, authorization, from, site, host string) {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/visitor", nil)
		r.Host = host
		r.Header = http.Header{"Cookie": {cookie}, "Authorization": {authorization}, "Origin": {from}, "Sec-Fetch-Site": {site}}
		tokens, byBearer := p.Tokens(r), strings.EqualFold(authorization[:min(len(authorization), 7)], "bearer ")
		standing := p.Whence(r)
		if len(tokens) > maxTokens {
			t.Errorf("got %d tokens, want %d at most", len(tokens), maxTokens)
		}
		for _, got := range tokens {
			switch {
			case !visitor.ValidToken(got):
				t.Errorf("got token %q, want none", got)
			case byBearer && !strings.Contains(authorization, got), !byBearer && !strings.Contains(cookie, got):
				t.Errorf("got token %q, which was not sent", got)
			case !byBearer && standing != Ours && standing != None:
				t.Errorf("the cookie counts for a page of %q, site %q", from, site)
			case !byBearer && !strings.EqualFold(strings.TrimSuffix(host, ":443"), "chat.example") && !origin.IsAddress(host):
				t.Errorf("the cookie counts for host %q", host)
			}
		}
		listed := from == "https://shop.example" || strings.HasPrefix(from, "https://") && strings.HasSuffix(from, ".wild.example")
		if standing == Allowed && !listed {
			t.Errorf("origin %q is allowed, want only those on the list", from)
		}
		if from == "null" && site != "same-origin" && standing != Foreign {
			t.Errorf("origin null, site %q: got %v, want it foreign", site, standing)
		}
	})
}
