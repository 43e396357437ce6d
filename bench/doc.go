// Package bench compares how fast package anyframe reads event streams with two
// other readers. It is a module of its own, so that a program that uses
// anyframe does not depend on what it is compared with.
//
// There is nothing in it but benchmarks and a test that all readers read the
// same: see README.md.
package bench
