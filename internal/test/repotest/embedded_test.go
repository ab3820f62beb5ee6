package repotest

import (
	"maps"
	"slices"
	"testing"
)

// TestEmbeddedBrokerCanBeLeftOut looks at what the service links with and
// without the tag noembedded.
func TestEmbeddedBrokerCanBeLeftOut(t *testing.T) {
	t.Parallel()
	if !linksEmbedded(loadGraph(t, "./cmd/...")) {
		t.Error("the service does not link the embedded broker by default")
	}
	if linksEmbedded(loadGraph(t, "-tags=noembedded", "./cmd/...")) {
		t.Error("the service links the embedded broker in spite of -tags noembedded")
	}
}

func linksEmbedded(g graph) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(g)), func(path string) bool {
		return match(mochi+"/...", path)
	})
}
