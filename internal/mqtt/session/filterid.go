package session

import "hash/fnv"

// maxFilterID is the highest subscription identifier [MQTT-3.8.2.1.2].
const maxFilterID = 268_435_455

// FilterID is the subscription identifier of a filter on MQTT 5: the same in
// every process, because a session and the messages queued in it may be older
// than this one. Filters that happen to share an id get each other's copies,
// as on MQTT 3.1.1.
func FilterID(filter string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(filter)) // never fails
	return h.Sum32()%maxFilterID + 1
}
