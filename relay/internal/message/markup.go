package message

import (
	"bytes"
	"regexp"
)

// markup matches, beginning at a "<", what a program that ignores the image type may
// interpret as a page or a script. It matches elements of HTML and SVG, any element with
// a quoted attribute or an event handler, and declarations of XML, PHP and the like.
//
// The search for an event handler is not counted, because maxTag bounds it. The engine
// follows all possible matches at once: if each space began another count, every byte would
// take hundreds of steps.
//
// Image data looks random, and any given four bytes occur once in 4 GiB, so a match must
// be longer than a tag's name. Names with a prefix are allowed, because cameras and
// editors write XMP, which is XML, into ordinary photos.
var markup = regexp.MustCompile(`(?i)^<(?:` +
	`/?(?:html|head|body|script|style|iframe|frame|frameset|object|embed|applet|link|meta|base|title|template|` +
	`form|input|button|textarea|select|isindex|img|image|video|audio|source|picture|table|div|span|font|marquee|details|` +
	`svg|math|foreignobject|animate|handler|listener|noscript|plaintext|layer|portal)[\s/>]` +
	`|(?:[a-z]{1,16}:)script[\s/>]` +
	`|[a-z][a-z0-9-]{0,31}(?:[\s/]+[a-z-]{2,32}\s*=\s*["']|[\s/][\t\n\f\r -;=-~]*?\bon[a-z]{3,32}\s*=)` +
	`|!doctype\s|!entity\s|!element\s|!attlist\s|!\[cdata\[|!--[\t\n\r -~]{4}` +
	`|\?php|\?xml[\s-]|\?=[\t\n\r -~]{8}|%[\t\n\r -~]{14}` +
	`)`)

// maxTag is how many bytes of a tag are examined.
const maxTag = 1024

// hasMarkup reports whether a program could interpret an image as a page or a script.
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
