// Command pmf x
package main

func main() {}
