// Package sched is the controller's mind: it decides what runs where. It has no clock, socket or
// goroutine; [State.Step] takes the time and an [Event] and answers with [Action] values, the same
// events always giving the same answers.
package sched
