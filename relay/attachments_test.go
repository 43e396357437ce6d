package relay_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/anyframe-relay/relay/relay"
)

func attachment(name, kind string, content []byte) string {
	return fmt.Sprintf(`{"name":%s,"mime":%s,"data":"%s"}`, quote(name), quote(kind), base64.StdEncoding.EncodeToString(content))
}

func withAttachments(rows ...string) string {
	return `{"text":"see","attachments":[` + strings.Join(rows, ",") + `]}`
}

// The content of an attachment must match its declared type.
func TestAttachment_ContentDiffersFromType_Refused(t *testing.T) {
	t.Parallel()
	r := newHarness(t, small)
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
		"HTML named a.txt":            {"text/plain", "<p>hello</p>", ""}, // text/* is allowed, and this is text
		"SVG named a.txt":             {"text/plain", "<svg onload=alert(1)>", "415 attachment_type"},
		"XML of SVG named a.txt":      {"text/plain", "\ufeff<?xml version=\"1.0\"?>\n<!-- a -->\n<SVG onload=alert(1)>", "415 attachment_type"},
		"SVG named a.xml":             {"text/xml", "<svg xmlns=''></svg>", "415 attachment_type"},
		"text named a.svg":            {"text/plain", "hello", "415 attachment_type"},
		"text named a.png":            {"text/plain", "hello", "415 attachment_type"},
		"PNG named a.html":            {"image/png", string(pngBytes), "415 attachment_type"},
		"PNG named a.txt":             {"image/png", string(pngBytes), "415 attachment_type"},
		"PNG named a.gif":             {"image/png", string(pngBytes), "415 attachment_type"},
		"PNG named a.svg.exe":         {"image/png", string(pngBytes), "415 attachment_type"},
		"PDF as text named a.txt":     {"text/plain", "%PDF-1.4\n%\xe2\xe3\xcf\xd3", "415 attachment_type"},
		"GIF as text named a.txt":     {"text/plain", string(gifBytes), "415 attachment_type"},
		"text like PDF named a.txt":   {"text/plain", "%PDF-1.4 hello", ""},
		"text like GIF named a.txt":   {"text/plain", "GIF89a=1;alert(1)", ""},
		"PostScript named a.txt":      {"text/plain", "%!PS-Adobe-3.0", ""}, // which is text
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
		if name == "bits left over" { // Go accepts it, as browsers do
			continue
		}
		refused(t, name, a, 400, "bad_request")
		if detail, _ := a.json["detail"].(string); !strings.Contains(detail, `"attachments[0].data"`) {
			t.Errorf("%s: got detail %q, want one that names the data", name, detail)
		}
	}
}

func TestAttachment_TextLooksLikeOtherType_AllowListApplies(t *testing.T) {
	r := newHarness(t, func(c *relay.Config) { c.AttachmentTypes = []string{"text/plain", "text/markdown"} })
	v := r.visitor()
	for content, want := range map[string]int{"hello": 202, "# hello": 202, "<p>hello</p>": 415, "<!DOCTYPE html>": 415, "<?xml version='1.0'?><a/>": 415} {
		a := v.do("POST", "/v1/messages", withAttachments(attachment("a", "text/plain", []byte(content))))
		if a.status != want {
			t.Errorf("%q: got %d %s, want %d", content, a.status, a.body, want)
		}
	}
	refused(t, "a page by its name", v.do("POST", "/v1/messages", withAttachments(attachment("a.html", "text/plain", []byte("a")))), 415, "attachment_type")
}

func TestAttachment_UnsafeName_SentWithPlainName(t *testing.T) {
	r := newHarness(t, nil)
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
