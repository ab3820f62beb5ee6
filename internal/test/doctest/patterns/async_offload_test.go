package patterns

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
)

// Accept answers 202 once the broker has the task. Another process does the work.
func Accept(b *mqttbroker.Broker) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := b.Publish(r.Context(), "tasks", broker.NewMessage(&Task{ID: r.FormValue("id")})); err != nil {
			http.Error(w, "try again later", http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	}
}

// The answer comes before the work is done.
func Example_asyncOffload() {
	server := listen()
	defer server.Close()
	proceed, done := make(chan struct{}), make(chan string)
	worker := newServer(server.URL(), "worker")
	must(WorkOff(worker, func(_ context.Context, t *Task) error {
		<-proceed // this takes long
		done <- "rendered " + t.ID
		return nil
	}))
	defer start(worker)()
	front, disconnect := connect(server.URL(), "front")
	defer disconnect()

	w := httptest.NewRecorder()
	Accept(front)(w, httptest.NewRequest(http.MethodPost, "/render?id=7", nil))
	fmt.Println(w.Code)
	close(proceed)
	fmt.Println(<-done)
	// Output:
	// 202
	// rendered 7
}
