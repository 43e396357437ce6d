package relay_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
	"github.com/anyframe-relay/relay/tools/testtools"
)

var (
	pngBytes  = []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
	gifBytes  = []byte("GIF89a\x01\x00\x01\x00")
	jpegBytes = []byte("\xff\xd8\xff\xe0\x00\x10JFIF")
	webpBytes = []byte("RIFF\x24\x00\x00\x00WEBPVP8 ")
)

// small sets limits that a test can reach.
func small(c *relay.Config) {
	c.MaxMessage, c.MaxAttachment, c.MaxAttachments = 1000, 299, 2
	c.VisitorApprovals = true
}

func TestMessageBody_Invalid_RefusedWithCode(t *testing.T) {
	r := newHarness(t, small)
	v := r.visitor()
	const visitor, messages, responses, session = "/v1/visitor", "/v1/messages", "/v1/responses", "/v1/session"
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for name, tt := range map[string]struct {
		path, body string
		want       string // status, code, and text that the detail must contain
	}{
		"nothing":                    {messages, " ", "400 bad_json"},
		"not JSON":                   {messages, "hello", "400 bad_json"},
		"an array":                   {messages, `[]`, "400 bad_json"},
		"a string":                   {messages, `"text"`, "400 bad_json"},
		"null":                       {messages, `null`, "400 bad_json"},
		"a number":                   {visitor, `1`, "400 bad_json"},
		"half an object":             {messages, `{"text":"a"`, "400 bad_json"},
		"half a string":              {messages, `{"text":"a`, "400 bad_json"},
		"no colon":                   {messages, `{"text" "a"}`, "400 bad_json"},
		"a comma too many":           {messages, `{"text":"a",}`, "400 bad_json"},
		"no comma":                   {messages, `{"text":"a" "attachments":[]}`, "400 bad_json"},
		"a comment":                  {messages, `{"text":"a"} // b`, "400 bad_json"},
		"two objects":                {messages, `{"text":"a"}{"text":"b"}`, "400 bad_json"},
		"an object and a brace":      {messages, `{"text":"a"}}`, "400 bad_json"},
		"an object and a NUL":        {messages, "{\"text\":\"a\"}\x00", "400 bad_json"},
		"a byte order mark":          {messages, "\ufeff{\"text\":\"a\"}", "400 bad_json"},
		"invalid UTF-8":              {messages, "{\"text\":\"a\xff\"}", "400 bad_json"},
		"a cut rune":                 {messages, "{\"text\":\"a\xe2\x82\"}", "400 bad_json"},
		"UTF-16":                     {messages, "{\x00\"\x00t\x00", "400 bad_json"},
		"a raw line break":           {messages, "{\"text\":\"a\nb\"}", "400 bad_json"},
		"a raw NUL":                  {messages, "{\"text\":\"a\x00b\"}", "400 bad_json"},
		"NaN":                        {messages, `{"text":NaN}`, "400 bad_json"},
		"single quotes":              {messages, `{'text':'a'}`, "400 bad_json"},
		"too deep":                   {messages, `{"attachments":` + deep(32) + `}`, "400 bad_json"},
		"far too deep":               {messages, strings.Repeat(`{"text":`, 2000), "400 bad_json"},
		"deep inside a string":       {messages, `{"text":` + quote(strings.Repeat("[{", 50)) + `,"x":1}`, `400 bad_request "x"`},
		"an unknown member":          {messages, `{"text":"a","agent_id":7}`, `400 bad_request "agent_id"`},
		"another unknown member":     {visitor, `{"base_url":"http://evil.example"}`, `400 bad_request "base_url"`},
		"unknown to a session":       {session, `{"resume_from_snapshot_id":"s"}`, `400 bad_request "resume_from_snapshot_id"`},
		"unknown to an answer":       {responses, `{"id":"p1-1","answer":"a","prompt_id":"x"}`, `400 bad_request "prompt_id"`},
		"an empty name":              {messages, `{"":1}`, `400 bad_request ""`},
		"a member in capitals":       {messages, `{"TEXT":"a"}`, `400 bad_request "TEXT"`},
		"a member with a capital":    {messages, `{"text":"a","Text":"b"}`, `400 bad_request "Text"`},
		"a long s":                   {messages, `{"attachment` + "\u017f" + `":[]}`, "400 bad_request \"attachment\u017f\""},
		"an escaped name, twice":     {messages, `{"text":"a","\u0074ext":"b"}`, `400 bad_request "text"`},
		"a member twice":             {messages, `{"text":"a","text":"b"}`, `400 bad_request "text"`},
		"a name with a line break":   {messages, `{"a\nb\u0007":1}`, `400 bad_request "ab"`},
		"a very long name":           {messages, `{"` + strings.Repeat("x", 5000) + `":1}`, `400 bad_request "` + strings.Repeat("x", 64) + `…"`},
		"a name with markup":         {messages, `{"<script>":1}`, `400 bad_request "<script>"`},
		"a text of the wrong type":   {messages, `{"text":5}`, `400 bad_request "text"`},
		"a text that is a list":      {messages, `{"text":["a"]}`, `400 bad_request "text"`},
		"attachments that are none":  {messages, `{"text":"a","attachments":"b"}`, `400 bad_request "attachments"`},
		"an attachment that is none": {messages, `{"text":"a","attachments":[1]}`, `400 bad_request "attachments[0]"`},
		"a null attachment":          {messages, withAttachments(attachment("a.txt", "text/plain", []byte("a")), "null"), `400 bad_request "attachments[1]"`},
		"unknown to an attachment":   {messages, `{"attachments":[{"name":"a","path":"/etc"}]}`, `400 bad_request "attachments[0].path"`},
		"an attachment's NAME":       {messages, `{"attachments":[{"NAME":"a"}]}`, `400 bad_request "attachments[0].NAME"`},
		"an attachment's mime twice": {messages, `{"attachments":[{"mime":"a","mime":"b"}]}`, `400 bad_request "attachments[0].mime"`},
		"an attachment's data":       {messages, `{"attachments":[{"data":7}]}`, `400 bad_request "attachments[0].data"`},
		"a carrier of another type":  {visitor, `{"carrier":true}`, `400 bad_request "carrier"`},
		"no such carrier":            {visitor, `{"carrier":"Cookie"}`, `400 bad_request "carrier"`},
		"nothing to say":             {messages, `{}`, "400 empty_message"},
		"an empty text":              {messages, `{"text":""}`, "400 empty_message"},
		"a null text":                {messages, `{"text":null}`, "400 empty_message"},
		"white space":                {messages, `{"text":" \t\r\n\u00a0\u2003"}`, "400 empty_message"},
		"empty, no attachments":      {messages, `{"text":"","attachments":[]}`, "400 empty_message"},
		"a NUL":                      {messages, `{"text":"a\u0000b"}`, `400 bad_request "text"`},
		"a NUL in an answer":         {responses, `{"id":"p1-1","answer":"a\u0000b"}`, `400 bad_request "answer"`},
		"an answer to nothing":       {responses, `{"answer":"a"}`, `400 bad_request "id"`},
		"no answer":                  {responses, `{"id":"p1-1"}`, `400 bad_request "answer"`},
		"an empty answer":            {responses, `{"id":"p1-1","answer":" "}`, `400 bad_request "answer"`},
		"an answer and a decision":   {responses, `{"id":"p1-1","answer":"a","decision":"deny"}`, `400 bad_request "decision"`},
		"no such decision":           {responses, `{"id":"p1-1","decision":"always"}`, `400 bad_request "decision"`},
		"a long text":                {messages, `{"text":` + quote(strings.Repeat("x", 1001)) + `}`, "413 message_too_large"},
		"a long text of long runes":  {messages, `{"text":` + quote(strings.Repeat("é", 501)) + `}`, "413 message_too_large"},
		"a long answer":              {responses, `{"id":"p1-1","answer":` + quote(strings.Repeat("x", 1001)) + `}`, "413 message_too_large"},
		"a large body":               {messages, `{"text":"` + strings.Repeat("x", 60_000) + `"}`, "413 message_too_large"},
		"a large body for a visitor": {visitor, `{"carrier":"` + strings.Repeat("x", 17_000) + `"}`, "413 message_too_large"},
		"a large body for a session": {session, strings.Repeat(" ", 17_000) + "{}", "413 message_too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			a := v.do("POST", tt.path, tt.body)
			var status int
			var code, names string
			_, _ = fmt.Sscan(tt.want, &status, &code)
			refused(t, tt.path, a, status, code)
			if _, rest, ok := strings.Cut(tt.want, code+" "); ok {
				names = rest
			}
			if detail, _ := a.json["detail"].(string); !strings.Contains(detail, names) || len(detail) > 400 {
				t.Errorf("got detail %q, want one that names %s", detail, names)
			}
		})
	}
	if n := r.plane.Count(anyframetest.OpAny); n != 0 {
		t.Errorf("requests to AnyFrame: got %d, want none", n)
	}
}

func TestMessageBody_ContentTypeNotJSON_Refused(t *testing.T) {
	r := newHarness(t, nil)
	v := r.visitor()
	for _, kind := range []string{
		"", "text/plain", "text/plain; charset=utf-8", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
		"application/json5", "application/jsonp", "application/problem+json", "text/json", "application/json,text/plain", "application", ";", "*/*",
	} {
		for _, path := range []string{"/v1/visitor", "/v1/messages", "/v1/responses", "/v1/session", "/v1/feedback"} {
			a := v.do("POST", path, `{"text":"hi","id":"p1-1","answer":"x"}`, "Content-Type", kind)
			refused(t, fmt.Sprintf("%s as %q", path, kind), a, 415, "unsupported_media_type")
		}
	}
	for _, kind := range []string{"application/json", "application/json; charset=utf-8", "Application/JSON;charset=UTF-8"} {
		if a := v.do("POST", "/v1/visitor", `{}`, "Content-Type", kind); a.status != http.StatusOK {
			t.Errorf("%q: got %d %s, want 200", kind, a.status, a.body)
		}
	}
	for _, coding := range []string{"gzip", "br", "deflate", "identity"} {
		refused(t, coding, v.do("POST", "/v1/messages", `{"text":"hi"}`, "Content-Encoding", coding), 415, "unsupported_media_type")
	}
	if n := len(r.plane.Sessions()); n != 0 {
		t.Errorf("sessions: got %d, want none", n)
	}
}

// chunked hides the length of a body.
type chunked struct{ io.Reader }

func TestMessageBody_TooLarge_RefusedWithOrWithoutLength(t *testing.T) {
	t.Parallel()
	r := newHarness(t, small)
	v := r.visitor()
	limit := 16<<10 + 6*1000 + 6*4096 + 2*(299*4/3+4096) // the maximum size of a message
	for name, hide := range map[string]bool{"said": false, "not said": true} {
		for _, size := range []int{limit, limit + 1, 10 << 20} {
			body := io.Reader(strings.NewReader(`{"text":"a"}` + strings.Repeat(" ", size-len(`{"text":"a"}`))))
			if hide {
				body = chunked{body}
			}
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.web.URL+"/v1/messages", body)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("Authorization", "Bearer "+v.token)
			res, err := testtools.Client.Transport.RoundTrip(req)
			if err != nil {
				if size > 1<<20 {
					continue // the connection was closed during the request, which is sufficient
				}
				t.Fatal(err)
			}
			text, _ := io.ReadAll(res.Body)
			res.Body.Close()
			a := answer{status: res.StatusCode, header: res.Header, body: string(text)}
			_ = json.Unmarshal(text, &a.json)
			if size > limit {
				refused(t, fmt.Sprintf("%d bytes, length %s", size, name), a, 413, "message_too_large")
			} else if a.status != http.StatusAccepted {
				t.Errorf("%d bytes, length %s: got %d %s, want 202", size, name, a.status, a.body)
			}
		}
	}
	d := newOffline(t, nil)
	for _, path := range []string{"/v1/visitor", "/v1/responses", "/v1/session", "/v1/feedback"} {
		refused(t, path, d.ask("POST", path, `{}`+strings.Repeat(" ", 256<<10), bearer(d.mint())...), 413, "message_too_large")
	}
}

// accepted posts a message and returns what AnyFrame received.
func (b *browser) accepted(what, body string) (got struct {
	Prompt      string
	Attachments []map[string]string
},
) {
	b.r.t.Helper()
	a := b.do("POST", "/v1/messages", body)
	if a.status != http.StatusAccepted {
		b.r.t.Errorf("%s: got %d %s, want 202", what, a.status, a.body)
		return got
	}
	all := b.r.plane.Messages(b.r.upstream())
	if err := json.Unmarshal(all[len(all)-1], &got); err != nil {
		b.r.t.Fatal(err)
	}
	return got
}

func TestMessageBody_AtTheLimits_ArrivesUnchanged(t *testing.T) {
	r := newHarness(t, small)
	v := r.visitor()
	for name, text := range map[string]string{
		"as long as may be":        strings.Repeat("x", 1000),
		"long runes":               strings.Repeat("é", 500),
		"controls, each escaped":   strings.Repeat("\x01", 1000),
		"white space around":       "  hello \n",
		"frames of an event":       "a\r\n\r\nid: 9\ndata: b\u2028\u2029\u0085",
		"markup and quotes":        `<script>"'\</script>`,
		"deep, but only in a text": strings.Repeat("[", 100),
	} {
		if got := v.accepted(name, `{"text":`+quote(text)+`}`); got.Prompt != text {
			t.Errorf("%s: got %.80q, want %.80q", name, got.Prompt, text)
		}
	}
	if got := v.accepted("a lone surrogate", `{"text":"a\ud800b"}`); got.Prompt != "a\ufffdb" {
		t.Errorf("a lone surrogate: got %q, want it replaced", got.Prompt)
	}
	if got := v.accepted("nulls", `{"text":"a","attachments":null}`); got.Prompt != "a" || len(got.Attachments) != 0 {
		t.Errorf("nulls: got %+v, want the text", got)
	}
}
