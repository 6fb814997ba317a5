# Rounds to the nearest root instead of down.
print(round(int(input()) ** 0.5))
