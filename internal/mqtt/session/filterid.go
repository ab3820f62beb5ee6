package session

import "hash/fnv"

// maxFilterID is the highest subscription identifier [MQTT-3.8.2.1.2].
const maxFilterID = 268_435_455

// FilterID returns the subscription identifier of a filter (MQTT 5). It is the
// same in every process, because a session and the messages queued in it may be
// older than this process. Filters with the same identifier receive each
// other's copies, as on MQTT 3.1.1.
func FilterID(filter string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(filter)) // never fails
	return h.Sum32()%maxFilterID + 1
}
