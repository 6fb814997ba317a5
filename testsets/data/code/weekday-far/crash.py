# The library's calendar ends with year 9999.
import datetime

days = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
print(days[datetime.date(int(input()), 1, 1).weekday()])
