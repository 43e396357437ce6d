package message

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/anyframe-relay/relay/relay/internal/problem"
)

// testLimits are the defaults.
var testLimits = Limits{MaxMessage: 16 << 10, MaxAttachment: 4 << 20, MaxAttachments: 4, AttachmentTypes: []string{"image/png", "image/jpeg", "image/gif", "image/webp", "text/*"}}

func decodeOne(t *testing.T, name, kind, content string) (string, error) {
	t.Helper()
	c := testLimits
	body, err := json.Marshal(map[string]any{"text": "", "attachments": []map[string]string{{
		"name": name, "mime": kind, "data": base64.StdEncoding.EncodeToString([]byte(content)),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := c.Decode(body)
	if err != nil {
		return "", err
	}
	return m.Attachments[0].Name, nil
}

func TestAttachment_TextThatBeginsLikeAnotherType_Accepted(t *testing.T) {
	for name, content := range map[string]string{
		"bmi.csv": "BMI,Age\n21,40\n", "gif.txt": "GIF89a is a version", "pdf.txt": "%PDF- begins such files", "ps.txt": "%!PS-Adobe- too",
		"rar.txt": "Rar! said he", "riff.txt": "RIFF1234WEBPVP", "id3.txt": "ID3 tags", "otf.txt": "OTTO and others", "caf.txt": "wOFF, wOF2",
		"zh.txt": "BM是文件头", "ja.txt": "GIF87a とは", "ko.txt": "%PDF- 입니다", "ar.txt": "OTTO مرحبا", "th.txt": "ID3 สวัสดี", "bom.csv": "\ufeffBMI,Age",
	} {
		kind := "text/plain"
		if strings.HasSuffix(name, ".csv") {
			kind = "text/csv"
		}
		if _, err := decodeOne(t, name, kind, content); err != nil {
			t.Errorf("%s: got %v, want no error", name, err)
		}
	}
}

func TestAttachment_NoText_RefusedAsText(t *testing.T) {
	for name, content := range map[string]string{
		"a NUL": "BM\x00\x00", "not UTF-8": "GIF89a\xff", "UTF-16": "\xff\xfea\x00", "SVG": "<svg xmlns='http://www.w3.org/2000/svg'>",
	} {
		if _, err := decodeOne(t, "a.txt", "text/plain", content); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

func TestAttachment_LongName_KeepsItsExtension(t *testing.T) {
	for _, c := range []struct{ name, end string }{
		{strings.Repeat("minutes ", 40) + ".txt", ".txt"},
		{strings.Repeat("会议记录", 60) + ".csv", ".csv"},
		{strings.Repeat("議事録", 60) + ".md", ".md"},
		{strings.Repeat("회의록", 60) + ".TXT", ".TXT"},
		{strings.Repeat("محضر", 60) + ".css", ".css"},
		{strings.Repeat("รายงาน", 60) + ".txt", ".txt"},
		{"a." + strings.Repeat("x", 300), "x"},
	} {
		got, err := decodeOne(t, c.name, "text/plain", "x")
		if err != nil || !strings.HasSuffix(got, c.end) || utf8.RuneCountInString(got) != maxNameRunes {
			t.Errorf("got %q and %v, want %d characters that end in %s", got, err, maxNameRunes, c.end)
		}
	}
}

// TestProxySnippets_LetMessagesThrough derives the minimum body limit of a proxy from the
// default limits of a message.
func TestProxySnippets_LetMessagesThrough(t *testing.T) {
	c := testLimits
	limit := regexp.MustCompile(`client_max_body_size (\d+)m;`)
	for _, name := range []string{"../../../README.md", "../../../deploy/nginx.conf"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all := limit.FindAllSubmatch(text, -1)
		if len(all) == 0 {
			t.Errorf("%s: nginx takes 1 MB unless it is told", name)
		}
		for _, m := range all {
			n, err := strconv.ParseInt(string(m[1]), 10, 64)
			if least := c.MaxBody(); err != nil || n<<20 < least || n<<20 > 2*least {
				t.Errorf("%s: got %s MiB, want at least %d bytes and at most twice that", name, m[1], least)
			}
		}
	}
}

// A body has room for millions of elements, which must not take memory of their own.
func TestDecode_MillionsOfElements_AllocatesFewOfThem(t *testing.T) {
	l := testLimits
	for name, body := range map[string]string{
		"attachments": `{"text":"a","attachments":[` + strings.Repeat("0,", 200_000) + `0]}`,
		"lists":       `{"text":"a","attachments":[` + strings.Repeat("[],", 200_000) + `0]}`,
	} {
		allocated := testing.AllocsPerRun(1, func() {
			if _, err := l.Decode([]byte(body)); !errors.Is(err, problem.TooMany) {
				t.Errorf("%s: got %v, want too many", name, err)
			}
		})
		if allocated > 200 {
			t.Errorf("%s: allocated %v times, want few", name, allocated)
		}
	}
	for body, want := range map[string]error{
		`{"text":"a","attachments":null}`: nil, `{"text":"a","attachments":[]}`: nil,
		`{"text":"a","attachments":{}}`: problem.BadRequest, `{"text":"a","attachments":"x"}`: problem.BadRequest, `{"text":"a","attachments":1}`: problem.BadRequest,
	} {
		if _, err := l.Decode([]byte(body)); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", body, err, want)
		}
	}
}
