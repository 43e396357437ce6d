// Package anyframe is a client of the AnyFrame control plane: it creates
// sessions, sends messages to the agent in them and follows what the agent does.
//
//	client, err := anyframe.New() // ANYFRAME_API_KEY from the environment or .env
package anyframe
