days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
day, year, wanted = 0, 1, int(input())
while year < wanted:
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    day = (day + (366 if leap else 365)) % 7
    year += 1
print(days[day])
