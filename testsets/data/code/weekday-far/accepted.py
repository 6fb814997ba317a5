days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
y = int(input()) - 1
print(days[(y + y // 4 - y // 100 + y // 400) % 7])
