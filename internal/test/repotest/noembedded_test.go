package repotest

import (
	"maps"
	"slices"
	"testing"
)

// TestInProcessBrokerCanBeLeftOut compares the packages that the service links with and
// without the tag noembedded.
func TestInProcessBrokerCanBeLeftOut(t *testing.T) {
	t.Parallel()
	if !linksBroker(loadGraph(t, "./cmd/...")) {
		t.Error("the service does not link the in-process broker by default")
	}
	if linksBroker(loadGraph(t, "-tags=noembedded", "./cmd/...")) {
		t.Error("the service links the in-process broker in spite of -tags noembedded")
	}
}

func linksBroker(g graph) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(g)), func(path string) bool {
		return match("./mqtttest/...", path)
	})
}
