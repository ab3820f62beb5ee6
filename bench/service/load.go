package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// posted is the result of a load.
type posted struct {
	accepted, refused int
	took, tookRefused []time.Duration // sorted
}

// load posts reports over persistent connections for a while, one at a time on each. It
// writes prepared requests to the sockets, so that the client takes little of the CPU
// that it shares with the service. A 503 is counted as refused; any other failure is an
// error.
func load(addr string, connections, size int, length time.Duration) (*posted, error) {
	content, err := json.Marshal(map[string]string{"text": strings.Repeat("x", max(0, size-len(`{"text":""}`)))})
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]any{
		"report_type": "event", "app_id": "bench", "app_key": "key", "event_name": "posted", "content": string(content),
	})
	if err != nil {
		return nil, err
	}
	request := fmt.Appendf(nil, "POST /v1/reports HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", addr, len(body), body)
	var mu sync.Mutex
	var wg sync.WaitGroup
	all, end := &posted{}, time.Now().Add(length)
	var failed error
	for range connections {
		wg.Go(func() {
			mine, err := post(addr, request, end)
			mu.Lock()
			defer mu.Unlock()
			all.accepted, all.refused, all.took = all.accepted+mine.accepted, all.refused+mine.refused, append(all.took, mine.took...)
			all.tookRefused = append(all.tookRefused, mine.tookRefused...)
			if err != nil {
				failed = err
			}
		})
	}
	wg.Wait()
	slices.Sort(all.took)
	slices.Sort(all.tookRefused)
	return all, failed
}

func post(addr string, request []byte, end time.Time) (mine posted, err error) {
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		return mine, err
	}
	defer nc.Close()
	in := bufio.NewReader(nc)
	for time.Now().Before(end) {
		began := time.Now()
		if _, err := nc.Write(request); err != nil {
			return mine, err
		}
		status, err := answer(in)
		switch {
		case err != nil:
			return mine, err
		case status == 200:
			mine.accepted++
			mine.took = append(mine.took, time.Since(began))
		case status == 503:
			mine.refused++
			mine.tookRefused = append(mine.tookRefused, time.Since(began))
		default:
			return mine, fmt.Errorf("status %d", status)
		}
	}
	return mine, nil
}

// answer reads one response; both contenders send a Content-Length.
func answer(in *bufio.Reader) (status int, err error) {
	length := -1
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch name, value, _ := bytes.Cut(line, []byte(": ")); {
		case len(line) == 0:
			if length < 0 {
				return 0, fmt.Errorf("status %d without a length", status)
			}
			_, err := in.Discard(length)
			return status, err
		case first:
			if status, err = strconv.Atoi(string(bytes.Fields(line)[1])); err != nil {
				return 0, err
			}
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, err
			}
		}
	}
}
