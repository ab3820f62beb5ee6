package main

import (
	"runtime"

	"google.golang.org/protobuf/proto"

	"github.com/kratos-mqtt/kratos-mqtt/bench/internal/null"
	"github.com/kratos-mqtt/kratos-mqtt/bench/internal/reading"
)

const (
	payloadSize = 256
	typedKind   = "typed"
	// topic has 40 bytes.
	topic = "bench/plant-7/building-3/telemetry/dev-1"
)

// payloads returns what the sources of the null broker send.
func payloads() (map[string][]byte, error) {
	typed, err := proto.Marshal(reading.Example())
	return map[string][]byte{null.Counted: make([]byte, payloadSize), typedKind: typed}, err
}

// decodeAllocs returns the number of allocations of proto.Unmarshal into a new message.
// Nothing else may run meanwhile.
func decodeAllocs() (float64, error) {
	const runs = 1000
	data, err := proto.Marshal(reading.Example())
	if err != nil {
		return 0, err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		if err := proto.Unmarshal(data, new(reading.Reading)); err != nil {
			return 0, err
		}
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / runs, nil
}
