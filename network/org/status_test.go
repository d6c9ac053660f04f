package org

import "testing"

func TestFarBehind(t *testing.T) {
	report := []NodeStatus{
		{Node: "first", Height: 100, Health: Running},
		{Node: "asked a moment earlier", Height: 100 - farBehind, Health: Running},
		{Node: "stands still", Height: 100 - farBehind - 1, Health: Running},
		{Node: "chaincode", Health: Running},
		{Node: "gone", Health: Stopped},
	}
	MarkBehind(report)
	for i, want := range []Health{Running, Running, Behind, Running, Stopped} {
		if report[i].Health != want {
			t.Errorf("%s is %s, want %s", report[i].Node, report[i].Health, want)
		}
	}
}
