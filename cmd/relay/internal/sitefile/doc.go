// Package sitefile reads the file of sites: YAML in, the values of each site with their
// places out, and everything that is wrong with the file at once, each with its line.
//
// It knows the form of the file and nothing of what a value means: which keys there are
// is told by the caller, who reads the values, too.
package sitefile
