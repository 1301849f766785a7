package tutti

import "time"

// Option changes one thing about a call; the whole module has this one option type. An option
// that means nothing to the call it is given to has no effect.
type Option func(*Settings)

// Settings is what options write. Packages above keep their own settings in it under keys of
// their own, as contexts do.
type Settings struct {
	Work   Work
	After  []TaskID
	Follow []TaskID
	more   map[any]any
}

// Apply runs the options in order.
func Apply(opts ...Option) *Settings {
	s := new(Settings)
	for _, o := range opts {
		o(s)
	}
	return s
}

// Set keeps value under key; a later Set of the same key replaces it.
func (s *Settings) Set(key, value any) {
	if s.more == nil {
		s.more = map[any]any{}
	}
	s.more[key] = value
}

// Get finds what was kept under key, nil if nothing.
func (s *Settings) Get(key any) any { return s.more[key] }

// Label names tasks for people: in lists, errors and dashboards.
func Label(name string) Option { return func(s *Settings) { s.Work.Label = name } }

// Needs says which resources a task holds while it runs. Without it a task holds one core.
func Needs(r Resources) Option { return func(s *Settings) { s.Work.Need = r } }

// Priority orders tasks of one client: greater goes first.
func Priority(n int) Option { return func(s *Settings) { s.Work.Priority = n } }

// Retries runs a task up to n times more when the user's code fails. Failures of the machinery
// are retried by themselves.
func Retries(n int) Option { return func(s *Settings) { s.Work.Retry.Failed = n } }

// RetryPolicy sets all that [Retry] has.
func RetryPolicy(r Retry) Option { return func(s *Settings) { s.Work.Retry = r } }

// Limit cancels a task that has run for longer than d; its error is of kind [Timeout].
func Limit(d time.Duration) Option { return func(s *Settings) { s.Work.Limit = d } }

// Durable journals the task and what it refers to, so that it survives the controller.
func Durable() Option { return func(s *Settings) { s.Work.Durable = true } }

// Tasked is anything that stands for a task: every future.
type Tasked interface{ ID() TaskID }

// After starts a task only when the others have ended, well or not.
func After(others ...Tasked) Option {
	return func(s *Settings) {
		for _, o := range others {
			s.After = append(s.After, o.ID())
		}
	}
}

// Follow prefers the node on which the others ran.
func Follow(others ...Tasked) Option {
	return func(s *Settings) {
		for _, o := range others {
			s.Follow = append(s.Follow, o.ID())
		}
	}
}
