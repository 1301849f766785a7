//go:build !linux

package agent

func agentMain(string) int { return 1 }
