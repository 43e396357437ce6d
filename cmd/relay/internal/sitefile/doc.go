// Package sitefile parses the sites file. It takes YAML and returns the values of each
// site with their positions, and all problems of the file at once, each with its line.
//
// It handles only the syntax of the file. The caller passes the valid keys and interprets
// the values.
package sitefile
