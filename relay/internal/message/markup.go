package message

import (
	"bytes"
	"regexp"
)

// markup matches, from a "<" on, what a program that does not believe in an image
// may take for a page or a script: elements of HTML and SVG, any element with a
// quoted attribute or an event handler, declarations of XML, PHP and the like.
//
// An image is random bytes to it, and four of them are any four bytes once in
// 4 GiB, so a tag must be longer than its name. Names with a prefix are left alone:
// cameras and editors write XMP, which is XML, into ordinary photos.
var markup = regexp.MustCompile(`(?i)^<(?:` +
	`/?(?:html|head|body|script|style|iframe|frame|frameset|object|embed|applet|link|meta|base|title|template|` +
	`form|input|button|textarea|select|isindex|img|image|video|audio|source|picture|table|div|span|font|marquee|details|` +
	`svg|math|foreignobject|animate|handler|listener|noscript|plaintext|layer|portal)[\s/>]` +
	`|(?:[a-z]{1,16}:)script[\s/>]` +
	`|[a-z][a-z0-9-]{0,31}[\s/]+(?:[a-z-]{2,32}\s*=\s*["']|[\t\n\f\r -;=-~]{0,512}?\bon[a-z]{3,32}\s*=)` +
	`|!doctype\s|!entity\s|!element\s|!attlist\s|!\[cdata\[|!--[\t\n\r -~]{4}` +
	`|\?php|\?xml[\s-]|\?=[\t\n\r -~]{8}|%[\t\n\r -~]{14}` +
	`)`)

// maxTag is how many bytes of a tag are looked at.
const maxTag = 1024

// hasMarkup reports whether an image is a page or a script as well, for a program
// that takes it for one.
func hasMarkup(image []byte) bool {
	for {
		i := bytes.IndexByte(image, '<')
		if i < 0 {
			return false
		}
		image = image[i:]
		if markup.Match(image[:min(len(image), maxTag)]) {
			return true
		}
		image = image[1:]
	}
}
