// Package control holds what operators decide about all visitors or some of them: a
// pause, a banner, and blocks of visitors and addresses. The store has the decisions;
// every process reads them once a second and answers from memory, so that a decision
// holds over all replicas within two seconds, and over restarts.
//
// It owns these decisions and their rows. It must not know HTTP, sessions or streams:
// who enforces a decision asks for it.
package control
