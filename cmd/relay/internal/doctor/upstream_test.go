package doctor

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe"
)

func TestExamine_APIDomainMissing_NamesTheOther(t *testing.T) {
	t.Parallel()
	for base, other := range map[string]string{
		anyframe.DefaultBaseURL: anyframe.AlternateBaseURL, anyframe.AlternateBaseURL: anyframe.DefaultBaseURL, "https://elsewhere.example": "",
	} {
		client, err := anyframe.New(anyframe.WithAPIKey("afm_x1234"), anyframe.WithBaseURL(base), anyframe.WithDotEnv(""),
			anyframe.WithRetry(anyframe.RetryPolicy{MaxRetries: -1}),
			anyframe.WithDialContext(func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.DNSError{Err: "no such host", Name: "api", IsNotFound: true}
			}),
			anyframe.WithProxy(func(*http.Request) (*url.URL, error) { return nil, nil }))
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Me(t.Context())
		var d doctor
		d.upstream("key", err)
		f := d.findings[0]
		if f.Result != ResultFinding || !strings.Contains(f.Do, "check DNS") || strings.Contains(f.Do, "ANYFRAME_BASE_URL="+other) != (other != "") {
			t.Errorf("%s: got %+v, want to do: try %q", base, f, other)
		}
	}
}
