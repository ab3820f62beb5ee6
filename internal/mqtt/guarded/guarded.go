// Package guarded tells which part of a topic the access rules of a broker guard. They
// guard it from its front: whoever may publish below devices/7/ chooses what comes
// behind that, and a filter's first wildcard stands for what a rule has in its place.
package guarded

import "strings"

// Levels returns how many levels of the topics of a filter are guarded: those up to
// its first wildcard; 0 is all of them. Of a shared filter the inner one counts.
func Levels(filter string) int {
	if shared, ok := strings.CutPrefix(filter, "$share/"); ok {
		_, filter, _ = strings.Cut(shared, "/")
	}
	n := 0
	for level := range strings.SplitSeq(filter, "/") {
		if n++; level == "+" || level == "#" {
			return n
		}
	}
	return 0
}

// Part returns the first levels of a topic, so many; 0 is all.
func Part(topic string, levels int) string {
	for i := 0; levels > 0 && i < len(topic); i++ {
		if topic[i] != '/' {
			continue
		}
		if levels--; levels == 0 {
			return topic[:i]
		}
	}
	return topic
}
