"""A program that talks through overcom: python3 talk.py NODE NAME ARGUMENTS… (NODE is the overcom program).
Sends a note to NAME, then prints every message until one says bye."""
import json, subprocess, sys

program, name, *arguments = sys.argv[1:]
node = subprocess.Popen([program, "node", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
request = {"id": 1, "op": "send", "to": name, "type": "note", "payload": {"text": "hello from Python"}}
print(json.dumps(request), file=node.stdin)
for told in map(json.loads, node.stdout):
    if "error" in told:
        sys.exit(f"{told['error']['message']}; {told['error']['hint']}")
    if told.get("notice") == "delivered" and not told["device"]:
        print("delivered", flush=True)
    if told.get("notice") == "message":
        print(told["name"] or told["from"], told["type"], json.dumps(told["payload"]), flush=True)
        if told["type"] == "bye":
            break
node.stdin.close()  # the node says good-bye and ends
sys.exit(node.wait())
