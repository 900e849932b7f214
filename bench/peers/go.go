// SPDX-License-Identifier: MIT
//
// Go: the workloads; peer.go has what peer.h says.  A plain thread is a goroutine locked to its
// thread, the loop is the runtime, a call is a goroutine that closes a channel.  The pool of W7 is
// goroutines locked to threads, as a blocking call of C would hold them.
package main

import (
	"fmt"
	"net"
	"runtime"
	"sync"
	"time"
)

func call() {
	done := make(chan struct{})
	go func() { close(done) }()
	<-done
}

// Let sleepers sleep for a second.  Returns the ns beyond, or the bytes of each.
func sleep(sleepers int, ns bool) int64 {
	var ended sync.WaitGroup
	bytes := bytesOfLast(sleepers)
	start := time.Now()
	ended.Add(sleepers)
	for i := 0; i < sleepers; i++ {
		go func() { bytes(); time.Sleep(time.Second); ended.Done() }()
	}
	ended.Wait()
	if !ns {
		return bytes()
	}
	records = append(records, bytes())
	return (time.Since(start) - time.Second).Nanoseconds()
}

func offload(count, flight int) int64 {
	jobs := make(chan chan struct{}, flight)
	for i := 0; i < 4; i++ {
		go func() {
			runtime.LockOSThread()
			for done := range jobs {
				done <- struct{}{}
			}
		}()
	}
	defer close(jobs)
	var ended sync.WaitGroup
	ended.Add(flight)
	start := time.Now()
	for i := 0; i < flight; i++ {
		go func() {
			done := make(chan struct{}, 1)
			for i := 0; i < (count+flight-1)/flight; i++ {
				jobs <- done
				<-done
			}
			ended.Done()
		}()
	}
	ended.Wait()
	return time.Since(start).Nanoseconds()
}

func yieldTwo(count int) {
	var ended sync.WaitGroup
	ended.Add(2)
	for i := 0; i < 2; i++ {
		go func() {
			for i := 0; i < count/2; i++ {
				runtime.Gosched()
			}
			ended.Done()
		}()
	}
	ended.Wait()
}

func iterate(count, ahead int) int64 {
	start := time.Now()
	items := make(chan int, ahead)
	go func() {
		for i := 0; i < count; i++ {
			items <- i
		}
		close(items)
	}()
	for range items {
	}
	return time.Since(start).Nanoseconds()
}

func submit(count, producers int) int64 {
	var ran sync.WaitGroup
	ran.Add((count + producers - 1) / producers * producers)
	start := time.Now()
	crew(count, producers, func() { go ran.Done() })
	ran.Wait()
	return time.Since(start).Nanoseconds()
}

func nested() {
	done := make(chan struct{})
	go func() { runtime.LockOSThread(); close(done) }() // its thread ends with it
	<-done
}

func echo(_, _ int) int64 {
	listener, _ := net.Listen("tcp", "127.0.0.1:0")
	fmt.Println("ready", listener.Addr().(*net.TCPAddr).Port)
	for {
		connection, _ := listener.Accept()
		go func() {
			buffer := make([]byte, 4096)
			for {
				size, err := connection.Read(buffer)
				if err != nil {
					return
				}
				connection.Write(buffer[:size])
			}
		}()
	}
}

// Each does its work count times; what it returns, if not 0, is the ns of all.
var works = map[string]func(count, number int) int64{
	"W1-hot":      func(count, _ int) int64 { return repeat(count, call) },
	"W1-one-core": func(count, _ int) int64 { return repeat(count, call) },
	"W1-latency":  func(count, _ int) int64 { return timed(count, call) },
	"W1-parked":   func(count, _ int) int64 { return parked(count, call) },
	"W2":          func(count, callers int) int64 { return crew(count, callers, call) },
	"W3":          submit,
	"W4":          func(count, _ int) int64 { return unlocked(func() { repeat(count, call) }) },
	"W5":          func(count, _ int) int64 { return unlocked(func() { yieldTwo(count) }) },
	"W6-time":     func(_, sleepers int) int64 { return sleep(sleepers, true) },
	"W6-bytes":    func(_, sleepers int) int64 { return sleep(sleepers, false) },
	"W7":          offload,
	"W8":          func(count, _ int) int64 { return unlocked(func() { repeat(count, nested) }) },
	"W9":          func(count, ahead int) int64 { return iterate(count, ahead-1) },
	"W9-loop":     func(count, _ int) int64 { return unlocked(func() { iterate(count, 0) }) },
	"W10":         echo,
}
