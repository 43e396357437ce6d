package relay_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/anyframe/anyframetest"
	"github.com/anyframe-relay/relay/relay"
)

var (
	pngBytes  = []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR")
	gifBytes  = []byte("GIF89a\x01\x00\x01\x00")
	jpegBytes = []byte("\xff\xd8\xff\xe0\x00\x10JFIF")
	webpBytes = []byte("RIFF\x24\x00\x00\x00WEBPVP8 ")
)

func attachment(name, kind string, content []byte) string {
	return fmt.Sprintf(`{"name":%s,"mime":%s,"data":"%s"}`, quote(name), quote(kind), base64.StdEncoding.EncodeToString(content))
}

func withAttachments(rows ...string) string {
	return `{"text":"see","attachments":[` + strings.Join(rows, ",") + `]}`
}

// small makes limits that a test can reach.
func small(c *relay.Config) {
	c.MaxMessage, c.MaxAttachment, c.MaxAttachments = 1000, 299, 2
	c.VisitorApprovals = true
}

func TestABodyThatIsNotRightIsRefusedByName(t *testing.T) {
	r := newRig(t, small)
	v := r.visitor()
	const visitor, messages, responses, session = "/v1/visitor", "/v1/messages", "/v1/responses", "/v1/session"
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for name, tt := range map[string]struct {
		path, body string
		want       string // status, code, and what the detail must hold
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

func TestABodyMustBeSaidToBeJSON(t *testing.T) {
	r := newRig(t, nil)
	v := r.visitor()
	for _, kind := range []string{
		"", "text/plain", "text/plain; charset=utf-8", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x",
		"application/json5", "application/jsonp", "application/problem+json", "text/json", "application/json,text/plain", "application", ";", "*/*",
	} {
		for _, path := range []string{"/v1/visitor", "/v1/messages", "/v1/responses", "/v1/session"} {
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

func TestALargeBodyIsRefusedWhateverItSaysOfItsLength(t *testing.T) {
	r := newRig(t, small)
	v := r.visitor()
	limit := 16<<10 + 6*1000 + 2*(299*4/3+4096) // what the largest message could take
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
			res, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				if size > 1<<20 {
					continue // the connection was closed on the way, which will do
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
}

// accepted posts a message and returns what AnyFrame got of it.
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

func TestWhatKeepsToTheLimitsArrivesAsItWasWritten(t *testing.T) {
	r := newRig(t, small)
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

func TestAttachmentsAreCheckedAgainstWhatTheyHold(t *testing.T) {
	r := newRig(t, small)
	v := r.visitor()
	for name, tt := range map[string]struct {
		mime    string
		content string
		want    string // "" is accepted
	}{
		"PNG":                     {"image/png", string(pngBytes), ""},
		"GIF":                     {"image/gif", string(gifBytes), ""},
		"JPEG":                    {"image/jpeg", string(jpegBytes), ""},
		"WebP":                    {"image/webp", string(webpBytes), ""},
		"PNG, upper case":         {" IMAGE/PNG ", string(pngBytes), ""},
		"plain text":              {"text/plain", "hello", ""},
		"HTML as the text it is":  {"text/html", "<p>hello</p>", ""},
		"CSV":                     {"text/csv", "a,b\n", ""},
		"as large as may be":      {"text/plain", strings.Repeat("x", 299), ""},
		"a byte too large":        {"text/plain", strings.Repeat("x", 300), "413 attachment_too_large"},
		"far too large":           {"image/png", string(pngBytes) + strings.Repeat("x", 2000), "413 attachment_too_large"},
		"empty":                   {"text/plain", "", "400 bad_request"},
		"no type":                 {"", "hello", "415 attachment_type"},
		"half a type":             {"text/", "hello", "415 attachment_type"},
		"only text":               {"text", "hello", "415 attachment_type"},
		"all of text":             {"text/*", "hello", "415 attachment_type"},
		"a type of many letters":  {"text/" + strings.Repeat("x", 128), "hello", "415 attachment_type"},
		"a type with a quote":     {"text/\"x", "hello", "415 attachment_type"},
		"a type with markup":      {"text/<script>", "hello", "415 attachment_type"},
		"a type with a line":      {"text/x\ny", "hello", "415 attachment_type"},
		"a type with a NUL":       {"text/x\x00", "hello", "415 attachment_type"},
		"a type with an umlaut":   {"text/späße", "hello", "415 attachment_type"},
		"a type with a comma":     {"text/x,y", "hello", "415 attachment_type"},
		"a type like a dot":       {"text/.", "hello", "415 attachment_type"},
		"a type with all signs":   {"text/x!#$&^_.+-y", "hello", ""},
		"a type with a parameter": {"text/plain; charset=utf-16", "hello", "415 attachment_type"},
		"two types":               {"image/png/text/plain", string(pngBytes), "415 attachment_type"},
		"a type we don't take":    {"application/pdf", "%PDF-1.4", "415 attachment_type"},
		"a program":               {"application/octet-stream", "MZ", "415 attachment_type"},
		"SVG":                     {"image/svg+xml", "<svg onload=alert(1)>", "415 attachment_type"},
		"SVG said to be PNG":      {"image/png", "<svg onload=alert(1)>", "415 attachment_type"},
		"HTML said to be PNG":     {"image/png", "<html>\x89PNG\r\n\x1a\n", "415 attachment_type"},
		"HTML said to be GIF":     {"image/gif", "<script>alert(1)</script>GIF89a", "415 attachment_type"},
		"GIF said to be PNG":      {"image/png", string(gifBytes), "415 attachment_type"},
		"PNG said to be text":     {"text/plain", string(pngBytes), "415 attachment_type"},
		"text with a NUL":         {"text/plain", "a\x00b", "415 attachment_type"},
		"text in Latin-1":         {"text/plain", "caf\xe9", "415 attachment_type"},
		"text said to be PNG":     {"image/png", "hello", "415 attachment_type"},

		"PNG named a.png":             {"image/png", string(pngBytes), ""},
		"JPEG named a.JPEG":           {"image/jpeg", string(jpegBytes), ""},
		"text named a.go":             {"text/plain", "package a", ""},
		"Markdown named a.md":         {"text/plain", "# a <b>bold</b> word", ""},
		"Markdown of HTML named a.MD": {"text/markdown", "<p align=center>hello</p>", ""},
		"a diff of SVG named a.txt":   {"text/plain", "+<svg onload=alert(1)>", ""},
		"HTML named a.txt":            {"text/plain", "<p>hello</p>", ""}, // text/* is on the list, and this is text
		"SVG named a.txt":             {"text/plain", "<svg onload=alert(1)>", "415 attachment_type"},
		"XML of SVG named a.txt":      {"text/plain", "\ufeff<?xml version=\"1.0\"?>\n<!-- a -->\n<SVG onload=alert(1)>", "415 attachment_type"},
		"SVG named a.xml":             {"text/xml", "<svg xmlns=''></svg>", "415 attachment_type"},
		"text named a.svg":            {"text/plain", "hello", "415 attachment_type"},
		"text named a.png":            {"text/plain", "hello", "415 attachment_type"},
		"PNG named a.html":            {"image/png", string(pngBytes), "415 attachment_type"},
		"PNG named a.txt":             {"image/png", string(pngBytes), "415 attachment_type"},
		"PNG named a.gif":             {"image/png", string(pngBytes), "415 attachment_type"},
		"PNG named a.svg.exe":         {"image/png", string(pngBytes), "415 attachment_type"},
		"PDF as text named a.txt":     {"text/plain", "%PDF-1.4 hello", "415 attachment_type"},
		"GIF as text named a.txt":     {"text/plain", "GIF89a=1;alert(1)", "415 attachment_type"},
		"PostScript named a.txt":      {"text/plain", "%!PS-Adobe-3.0", "415 attachment_type"},
		"GIF and page named a.gif":    {"image/gif", string(gifBytes) + "<SCRIPT>alert(1)</SCRIPT>", "415 attachment_type"},
		"PNG and page named a.png":    {"image/png", string(pngBytes) + "<<html>", "415 attachment_type"},
		"GIF and picture named a.gif": {"image/gif", string(gifBytes) + "<img src=x onerror=alert(1)>", "415 attachment_type"},
		"PNG and SVG named a.png":     {"image/png", string(pngBytes) + "<svg onload=alert(1)>", "415 attachment_type"},
		"PNG and program named a.png": {"image/png", string(pngBytes) + "<?php system('id');", "415 attachment_type"},
		"JPEG and angles named a.jpg": {"image/jpeg", string(jpegBytes) + "<<x:xmpmeta><", ""},
	} {
		name, file, _ := strings.Cut(name, " named ")
		if file == "" {
			file = "a"
		}
		a := v.do("POST", "/v1/messages", withAttachments(attachment(file, tt.mime, []byte(tt.content))))
		if tt.want == "" {
			if a.status != http.StatusAccepted {
				t.Errorf("%s: got %d %s, want 202", name, a.status, a.body)
			}
			continue
		}
		var status int
		var code string
		_, _ = fmt.Sscan(tt.want, &status, &code)
		refused(t, name, a, status, code)
	}
	one := attachment("a.txt", "text/plain", []byte("a"))
	refused(t, "one too many", v.do("POST", "/v1/messages", withAttachments(one, one, one)), 413, "too_many_attachments")
	refused(t, "a hundred", v.do("POST", "/v1/messages", withAttachments(strings.Split(strings.Repeat(one+"\n", 99)+one, "\n")...)), 413, "too_many_attachments")
	for name, data := range map[string]string{
		"not base64": "!!!!", "URL alphabet": "-_-_", "no padding": "YQ", "padding in between": "YQ==YQ==", "bits left over": "YR==", "half": "Y",
	} {
		a := v.do("POST", "/v1/messages", withAttachments(`{"name":"a","mime":"text/plain","data":"`+data+`"}`))
		if name == "bits left over" { // Go reads it, as browsers do
			continue
		}
		refused(t, name, a, 400, "bad_request")
		if detail, _ := a.json["detail"].(string); !strings.Contains(detail, `"attachments[0].data"`) {
			t.Errorf("%s: got detail %q, want one that names the data", name, detail)
		}
	}
}

func TestAListOfTypesHoldsForWhatATextLooksLike(t *testing.T) {
	r := newRig(t, func(c *relay.Config) { c.AttachmentTypes = []string{"text/plain", "text/markdown"} })
	v := r.visitor()
	for content, want := range map[string]int{"hello": 202, "# hello": 202, "<p>hello</p>": 415, "<!DOCTYPE html>": 415, "<?xml version='1.0'?><a/>": 415} {
		a := v.do("POST", "/v1/messages", withAttachments(attachment("a", "text/plain", []byte(content))))
		if a.status != want {
			t.Errorf("%q: got %d %s, want %d", content, a.status, a.body, want)
		}
	}
	refused(t, "a page by its name", v.do("POST", "/v1/messages", withAttachments(attachment("a.html", "text/plain", []byte("a")))), 415, "attachment_type")
}

func TestAttachmentsReachAnyFrameWithAPlainName(t *testing.T) {
	r := newRig(t, nil)
	v := r.visitor()
	for name, want := range map[string]string{
		"a.txt": "a.txt", "Übersicht (2).txt": "Übersicht (2).txt", "../../etc/passwd": "passwd", `C:\Users\me\a.txt`: "a.txt", "/": "attachment",
		"": "attachment", "..": "attachment", ".": "attachment", "...": "attachment", "a/": "a", "a\x00b\r\nc.txt": "abc.txt", "\u202egnp.elif": "gnp.elif",
		" ": "attachment", ".env": ".env", strings.Repeat("é", 1000): strings.Repeat("é", 128), "\u200b": "attachment",
	} {
		got := v.accepted(fmt.Sprintf("%.40q", name), withAttachments(attachment(name, "text/plain", []byte("hello"))))
		if len(got.Attachments) != 1 || got.Attachments[0]["name"] != want {
			t.Errorf("%.40q: got %v, want the name %q", name, got.Attachments, want)
		}
	}
	got := v.accepted("two", `{"text":"","attachments":[`+attachment("p.png", "image/png", pngBytes)+","+attachment("t.md", "text/markdown", []byte("# é"))+`]}`)
	want := []map[string]string{
		{"kind": "image", "name": "p.png", "mime": "image/png", "data_base64": base64.StdEncoding.EncodeToString(pngBytes)},
		{"kind": "text", "name": "t.md", "mime": "text/markdown", "text": "# é"},
	}
	if fmt.Sprint(got.Attachments) != fmt.Sprint(want) {
		t.Errorf("got %v, want %v", got.Attachments, want)
	}
}

func TestAKeyIsTakenOnlyInItsOwnAlphabet(t *testing.T) {
	r := newRig(t, nil)
	v := r.visitor()
	for _, key := range []string{"a b", "ä", "a.b", "a/b", "a,b", "a\tb", "'--", "p1:1", strings.Repeat("k", 65)} {
		a := v.do("POST", "/v1/messages", `{"text":"hi"}`, "Idempotency-Key", key)
		refused(t, fmt.Sprintf("%.70q", key), a, 400, "bad_request")
		if detail, _ := a.json["detail"].(string); !strings.Contains(detail, "Idempotency-Key") {
			t.Errorf("%q: got detail %q, want one that names the header", key, detail)
		}
	}
	if n := len(r.plane.Sessions()); n != 0 {
		t.Errorf("sessions: got %d, want none", n)
	}
	for _, key := range []string{"k", "A-Z_a-z-09", strings.Repeat("k", 64)} {
		if got := v.say("hi", key).json["turn"]; got != key {
			t.Errorf("got turn %v, want the key %q", got, key)
		}
	}
	made := v.do("POST", "/v1/messages", `{"text":"hi"}`)
	if turn, _ := made.json["turn"].(string); made.status != http.StatusAccepted || len(turn) < 20 {
		t.Errorf("no key: got %d %s, want one made up", made.status, made.body)
	}
}

func TestTheQueryOfATranscriptHasBounds(t *testing.T) {
	r := newRig(t, nil, anyframetest.WithAgent(1, talk))
	v := r.visitor()
	_, want := conversation(r, v)
	for query, name := range map[string]string{
		"since=-1": "since", "since=x": "since", "since=1.5": "since", "since=9223372036854775808": "since", "since=%20": "since", "since=1-5": "since",
		"limit=0": "limit", "limit=-5": "limit", "limit=1001": "limit", "limit=all": "limit", "limit=1e2": "limit", "since=1&limit=0x10": "limit",
	} {
		a := v.do("GET", "/v1/transcript?"+query, "")
		refused(t, query, a, 400, "bad_request")
		if detail, _ := a.json["detail"].(string); !strings.Contains(detail, `"`+name+`"`) {
			t.Errorf("%s: got detail %q, want one that names %s", query, detail, name)
		}
	}
	for query, n := range map[string]int{"": len(want), "?since=&limit=": len(want), "?limit=1000": len(want), "?since=0&limit=1000": len(want), "?since=4611686018427387904": 0} {
		a := v.do("GET", "/v1/transcript"+query, "")
		events, _ := a.json["events"].([]any)
		if a.status != http.StatusOK || len(events) != n || a.json["next_since"] != nil {
			t.Errorf("%q: got %d with %d events and next_since %v, want %d and none", query, a.status, len(events), a.json["next_since"], n)
		}
	}
}

func TestWhatIsNotThereIsAProblemToo(t *testing.T) {
	for _, base := range []string{"", "/chat"} {
		r := newRig(t, func(c *relay.Config) { c.BasePath = base })
		b := r.visitor()
		for _, path := range []string{
			"/v1", "/v1/", "/v1/sessions", "/v1/session/", "/v1/events/x.css", "/v1/messages/1", "/v2/visitor", "/metrics", "/debug/pprof/", "/debug/vars",
			"/.env", "/%2e%2e/etc/passwd", "/..%2f..%2fetc/passwd", "/assets", "/assets/", "/assets/../widget.js", "/assets/%2e%2e%2findex.html", "/index.html",
			"/widget.js.map", "/widget.js/", "//v1/session", "/v1//session", "/assets/..%5cx", "/assets/%00", "/embed", "/favicon.ico",
		} {
			a := b.do("GET", path, "")
			refused(t, base+path, a, 404, "not_found")
		}
		for path, allow := range map[string]string{
			"/v1/visitor": "POST,DELETE", "/v1/session": "GET,POST,DELETE", "/v1/messages": "POST", "/v1/responses": "POST", "/v1/events": "GET",
			"/v1/transcript": "GET", "/": "GET,HEAD", "/widget.js": "GET,HEAD", "/healthz": "GET,HEAD", "/readyz": "GET,HEAD", "/assets/x.js": "GET,HEAD",
		} {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "PRI", "get"} {
				if strings.Contains(","+allow+",", ","+method+",") {
					continue
				}
				a := b.do(method, path, "")
				if got := strings.Join(a.header.Values("Allow"), ","); got != allow {
					t.Errorf("%s %s: got Allow %q, want %q", method, path, got, allow)
				}
				if method == "HEAD" { // has no body to look at
					if a.status != http.StatusMethodNotAllowed {
						t.Errorf("%s %s: got %d, want 405", method, path, a.status)
					}
					continue
				}
				refused(t, method+" "+base+path, a, 405, "method_not_allowed")
			}
		}
	}
}

func TestEveryAnswerOfTheInterfaceKeepsOutOfCaches(t *testing.T) {
	r := newRig(t, nil)
	v := r.visitor()
	for _, call := range []struct{ method, path, body string }{
		{"POST", "/v1/visitor", `{}`},
		{"GET", "/v1/session", ""},
		{"POST", "/v1/messages", `{"text":"hi"}`},
		{"POST", "/v1/messages", `{`},
		{"POST", "/v1/session", ""},
		{"POST", "/v1/responses", `{"id":"p","answer":"a"}`},
		{"GET", "/v1/transcript", ""},
		{"GET", "/v1/nothing", ""},
		{"HEAD", "/v1/events", ""},
		{"PUT", "/v1/session", ""},
		{"OPTIONS", "/v1/session", ""},
		{"DELETE", "/v1/session", ""},
		{"DELETE", "/v1/visitor", ""},
		{"GET", "/v1/session", ""},
	} {
		a := v.do(call.method, call.path, call.body)
		if got := a.header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%s %s (%d): got Cache-Control %q, want no-store", call.method, call.path, a.status, got)
		}
		if got := a.header.Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s %s (%d): got X-Content-Type-Options %q, want nosniff", call.method, call.path, a.status, got)
		}
		if a.body != "" && !bytes.HasPrefix([]byte(a.header.Get("Content-Type")), []byte("application/")) {
			t.Errorf("%s %s (%d): got Content-Type %q, want JSON", call.method, call.path, a.status, a.header.Get("Content-Type"))
		}
	}
}
