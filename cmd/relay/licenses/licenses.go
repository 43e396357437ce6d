// Package licenses holds the licences of all that is linked into the program. The file
// is made by go run ./tools/release notices, and a test there compares it.
package licenses

import _ "embed" // for the file

// ThirdParty is the text, which names each module.
//
//go:embed third-party.txt
var ThirdParty string
