package message

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/anyframe-relay/relay/anyframe"
	"github.com/anyframe-relay/relay/relay/internal/problem"
	"github.com/anyframe-relay/relay/relay/internal/strictjson"
	"github.com/anyframe-relay/relay/relay/internal/visitorctx"
)

func (l *Limits) decodeAttachment(row json.RawMessage, prefix string) (a anyframe.Attachment, err error) {
	var name, kind, data string
	if err := strictjson.Decode(row, prefix, strictjson.Fields{"name": &name, "mime": &kind, "data": &data}); err != nil {
		return a, err
	}
	if base64.StdEncoding.DecodedLen(len(data)) > l.MaxAttachment+2 {
		return a, problem.AttachLarge.With("An attachment is larger than %d bytes.", l.MaxAttachment)
	}
	content, err := base64.StdEncoding.DecodeString(data)
	switch {
	case err != nil:
		return a, problem.BadRequest.With("%s is not valid base64.", strictjson.Quote(prefix+"data"))
	case len(content) > l.MaxAttachment:
		return a, problem.AttachLarge.With("An attachment is larger than %d bytes.", l.MaxAttachment)
	case len(content) == 0:
		return a, problem.BadRequest.With("%s is empty.", strictjson.Quote(prefix+"data"))
	}
	kind = strings.ToLower(strings.TrimSpace(kind))
	if !l.accepts(kind) {
		return a, problem.AttachType
	}
	a = anyframe.Attachment{Name: baseName(name), MIME: kind}
	if visitorctx.Reserved(a.Name) {
		return a, problem.BadRequest.With("%s is a reserved name.", strictjson.Quote(prefix+"name"))
	}
	if named := typeOfName(a.Name); named != "" && named != kind && (!isText(named) || !isText(kind) || !l.accepts(named)) {
		return a, problem.AttachType.With("An attachment's file extension does not match its type.")
	}
	if isText(kind) {
		if held := typeOfText(content); !isText(held) || !l.accepts(held) {
			return a, problem.AttachType.With("The content of an attachment does not match its text type.")
		}
		a.Kind, a.Text = anyframe.AttachmentText, string(content)
		return a, nil
	}
	if http.DetectContentType(content) != kind || hasMarkup(content) {
		return a, problem.AttachType.With("The content of an attachment does not match its image type.")
	}
	a.Kind, a.Data = anyframe.AttachmentImage, content
	return a, nil
}

func isText(kind string) bool { return strings.HasPrefix(kind, "text/") }

// namedTypes maps file extensions to types. The system's own list is not used, because it
// differs between machines.
var namedTypes = map[string]string{
	"png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp", "avif": "image/avif",
	"bmp": "image/bmp", "ico": "image/x-icon", "tif": "image/tiff", "tiff": "image/tiff", "heic": "image/heic",
	"svg": "image/svg+xml", "svgz": "image/svg+xml",
	"html": "text/html", "htm": "text/html", "shtml": "text/html", "xhtml": "application/xhtml+xml", "xht": "application/xhtml+xml",
	"txt": "text/plain", "md": "text/markdown", "csv": "text/csv", "css": "text/css", "js": "text/javascript", "mjs": "text/javascript", "xml": "text/xml",
	"pdf": "application/pdf", "zip": "application/zip", "gz": "application/gzip", "exe": "application/octet-stream",
	"dll": "application/octet-stream", "msi": "application/octet-stream", "jar": "application/java-archive", "wasm": "application/wasm",
}

// typeOfName returns the type implied by a file's name, or "".
func typeOfName(name string) string {
	return namedTypes[strings.ToLower(strings.TrimPrefix(path.Ext(name), "."))]
}

// typeOfText returns the type that a browser would detect in a text without other
// information. It also detects SVG, which can act as a page, although browsers do not
// detect it by themselves. Valid UTF-8 without NUL is text, even if it begins like
// another format: "BMI,Age" is no bitmap.
func typeOfText(content []byte) string {
	if !utf8.Valid(content) || slices.Contains(content, 0) {
		return "application/octet-stream"
	}
	start := bytes.TrimSpace(bytes.TrimPrefix(content[:min(len(content), 1024)], []byte("\ufeff")))
	if bytes.HasPrefix(start, []byte("<")) && bytes.Contains(bytes.ToLower(start), []byte("<svg")) {
		return "image/svg+xml"
	}
	if kind, _, _ := strings.Cut(http.DetectContentType(content), ";"); isText(kind) {
		return kind
	}
	return "text/plain"
}

// mediaType matches a type and a subtype as allowed by RFC 6838 section 4.2, in lower
// case and without parameters.
var mediaType = regexp.MustCompile(`^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$`)

// accepts reports whether kind is on the list; text/* stands for all text types.
func (l *Limits) accepts(kind string) bool {
	if !mediaType.MatchString(kind) {
		return false
	}
	major, _, _ := strings.Cut(kind, "/")
	return slices.Contains(l.AttachmentTypes, kind) || slices.Contains(l.AttachmentTypes, major+"/*")
}

const (
	maxNameRunes = 128
	maxExtRunes  = 16 // a longer one is part of the name
)

// baseName removes folders and unprintable characters from a file's name, and shortens it
// before its extension.
func baseName(name string) string {
	name = path.Base(strings.ReplaceAll(name, `\`, "/"))
	name = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, name)
	if r := []rune(name); len(r) > maxNameRunes {
		ext := []rune(path.Ext(name))
		if len(ext) > maxExtRunes {
			ext = nil
		}
		name = string(r[:maxNameRunes-len(ext)]) + string(ext)
	}
	if strings.Trim(name, "./ ") == "" {
		return "attachment"
	}
	return name
}
