# Forgets the centuries.
days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
y = int(input()) - 1
print(days[(y + y // 4) % 7])
