package message

import (
	"bytes"
	"strings"
)

const (
	// maxTag is how many bytes of a tag are examined, and maxName how many its name may have.
	maxTag  = 1024
	maxName = 32
)

// hasMarkup reports whether a program that ignores the image type could interpret an
// image as a page or a script. It looks for elements of HTML and SVG, any element with a
// quoted attribute or an event handler, and declarations of XML, PHP and the like.
//
// Image data looks random, and any given four bytes occur once in 4 GiB, so a match is
// longer than a tag's name. Names with a prefix are allowed, because cameras and editors
// write XMP, which is XML, into ordinary photos.
//
// It takes time proportional to the image's size. The regular expression with the same
// rules, with which a test compares it, takes a second for 4 MiB of "<a ".
func hasMarkup(image []byte) bool {
	for {
		i := bytes.IndexByte(image, '<')
		if i < 0 {
			return false
		}
		image = image[i+1:]
		if tag := image[:min(len(image), maxTag)]; declares(tag) || opens(tag) {
			return true
		}
	}
}

// declarations are what may follow a "<" besides a name, in lower case, and what must follow them.
var declarations = []struct {
	start string
	next  func(byte) bool
	count int
}{
	{"!doctype", space, 1},
	{"!entity", space, 1},
	{"!element", space, 1},
	{"!attlist", space, 1},
	{"![cdata[", nil, 0},
	{"!--", printable, 4},
	{"?php", nil, 0},
	{"?xml", func(c byte) bool { return c == '-' || space(c) }, 1},
	{"?=", printable, 8},
	{"%", printable, 14},
}

// declares reports whether a tag, without its "<", is a declaration, or code for a server.
func declares(tag []byte) bool {
	if len(tag) == 0 || letter(tag[0]) {
		return false
	}
	for _, d := range declarations {
		if tag[0] == d.start[0] && foldedPrefix(tag, d.start) && span(tag[len(d.start):], d.next) >= d.count {
			return true
		}
	}
	return false
}

// tagNames are the elements that are markup without an attribute too.
var tagNames = func() map[string]bool {
	names := map[string]bool{}
	for name := range strings.FieldsSeq(`html head body script style iframe frame frameset object embed applet link meta base title template
		form input button textarea select isindex img image video audio source picture table div span font marquee details
		svg math foreignobject animate handler listener noscript plaintext layer portal`) {
		names[name] = true
	}
	return names
}()

// opens reports whether a tag, without its "<", begins or ends an element that is markup.
func opens(tag []byte) bool {
	name := bytes.TrimPrefix(tag, []byte("/"))
	ends := len(name) < len(tag)
	n := span(name[:min(len(name), maxName+1)], func(c byte) bool { return letter(c) || digit(c) || c == '-' })
	if n == 0 || n > maxName || n == len(name) || !letter(name[0]) {
		return false
	}
	rest := name[n:]
	if rest[0] == ':' {
		return !ends && n <= 16 && span(name[:n], letter) == n && foldedPrefix(rest, ":script") && len(rest) > len(":script") && delimits(rest[len(":script")])
	}
	if !delimits(rest[0]) {
		return false
	}
	var lower [maxName]byte
	for i, c := range name[:n] {
		lower[i] = lowered(c)
	}
	return tagNames[string(lower[:n])] || !ends && rest[0] != '>' && hasAttribute(rest)
}

// hasAttribute reports whether what follows an element's name begins with a quoted
// attribute, or has an event handler. It goes from one "=" to the next and looks back
// from each, never past the one before.
func hasAttribute(rest []byte) bool {
	rest = rest[:span(rest, func(c byte) bool { return c != '<' && (c == '\f' || printable(c)) })]
	for start, first := 0, true; ; first = false {
		i := bytes.IndexByte(rest[start:], '=')
		if i < 0 {
			return false
		}
		before := bytes.TrimRight(rest[start:start+i], "\t\n\f\r ")
		start += i + 1
		if first && quoted(before, rest[start:]) || handler(before) {
			return true
		}
	}
}

// quoted reports whether the text before and after the first "=" is that of an attribute
// with a quoted value, directly behind the element's name.
func quoted(before, after []byte) bool {
	name := bytes.TrimLeft(before, "\t\n\f\r /")
	value := bytes.TrimLeft(after, "\t\n\f\r ")
	return len(name) < len(before) && 2 <= len(name) && len(name) <= 32 && len(value) > 0 && (value[0] == '"' || value[0] == '\'') &&
		span(name, func(c byte) bool { return letter(c) || c == '-' }) == len(name)
}

// handler reports whether the text before a "=", back to another one or to the element's
// name, ends with the name of an event handler.
func handler(before []byte) bool {
	i := len(before)
	for i > 0 && letter(before[i-1]) {
		i--
	}
	name := before[i:]
	return 5 <= len(name) && len(name) <= 34 && foldedPrefix(name, "on") && (i == 0 || !digit(before[i-1]) && before[i-1] != '_')
}

// span returns how many bytes at the start of b are of a kind; of none if is is nil.
func span(b []byte, is func(byte) bool) int {
	for i, c := range b {
		if is == nil || !is(c) {
			return i
		}
	}
	return len(b)
}

// foldedPrefix reports whether b begins with a text that is in lower case, in any case.
func foldedPrefix(b []byte, text string) bool {
	if len(b) < len(text) {
		return false
	}
	for i := range len(text) {
		if lowered(b[i]) != text[i] {
			return false
		}
	}
	return true
}

func lowered(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func letter(c byte) bool    { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func digit(c byte) bool     { return '0' <= c && c <= '9' }
func space(c byte) bool     { return c == ' ' || c == '\t' || c == '\n' || c == '\f' || c == '\r' }
func delimits(c byte) bool  { return c == '/' || c == '>' || space(c) }
func printable(c byte) bool { return ' ' <= c && c <= '~' || c == '\t' || c == '\n' || c == '\r' }
