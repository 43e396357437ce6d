// Package control holds the operators' decisions about visitors: a pause, a banner, and
// blocks of visitors and addresses. The decisions are in the store. Every process reads
// them once a second and answers from memory, so that a decision applies on all replicas
// within two seconds, and after restarts.
//
// It owns these decisions and their rows. It must not depend on HTTP, sessions or
// streams: the code that enforces a decision calls it.
package control
