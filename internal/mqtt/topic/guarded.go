package topic

import "strings"

// GuardedLevels returns the number of topic levels that the access rules of a
// broker protect for a filter: the levels before its first wildcard, or 0 if
// there is no wildcard and all levels are protected. Access rules restrict a
// topic from its front. A device that may publish below devices/7/ chooses the
// levels after that itself, and the first wildcard of a filter stands where a
// rule has the device. For a shared filter the inner filter counts.
func GuardedLevels(filter string) int {
	n := 0
	for level := range strings.SplitSeq(Unshared(filter), "/") {
		if n++; level == "+" || level == "#" {
			return n
		}
	}
	return 0
}

// Guarded returns the protected part of a topic: its first levels, or the whole
// topic if levels is 0.
func Guarded(topic string, levels int) string {
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
