// Command handwritten does with a report what the reference service does, written by hand
// with the usual libraries and without Kratos: HTTP accepts it, MQTT transports it, and a
// subscriber stores it in batches of 200 and acknowledges after the commit. `make
// bench-service` compares the service with it.
package main

import (
	"context"
	"flag"
	"log"
	"net/http"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	addr := flag.String("http", "127.0.0.1:8000", "address of the HTTP API")
	broker := flag.String("broker", "tcp://127.0.0.1:1883", "URL of the broker")
	id := flag.String("id", "handwritten", "client id; the publisher appends -pub")
	driver := flag.String("driver", "sqlite", "sqlite or postgres")
	source := flag.String("source", "reports.db", "file, or URL of the database")
	flag.Parse()
	if err := run(*addr, *broker, *id, *driver, *source); err != nil {
		log.Fatal(err)
	}
}

func run(addr, broker, id, driver, source string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	store, err := open(ctx, driver, source)
	if err != nil {
		return err
	}
	defer store.close()
	saver := newSaver(store)
	go saver.run(ctx)
	sub, err := subscribe(broker, id, saver.add)
	if err != nil {
		return err
	}
	defer sub.Disconnect(250)
	pub, err := connect(broker, id+"-pub")
	if err != nil {
		return err
	}
	defer pub.Disconnect(250)

	mux := http.NewServeMux()
	mux.Handle("POST /v1/reports", &collector{client: pub})
	server := &http.Server{Addr: addr, Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		_ = server.Shutdown(context.Background())
	}()
	if err := server.ListenAndServe(); err != http.ErrServerClosed {
		return err
	}
	return nil
}
